package awskms

import (
	"bytes"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lockstep-kms/lockstep/api/aws"
	"github.com/lockstep-kms/lockstep/kms"
)

// constraints are the shapes of the model that members are tagged with. Where the model takes more than AWS KMS does
// (page sizes, the waiting period), it is what the API reference says.
var constraints = map[string]*aws.Constraint{
	"Key":           {Least: 1, Most: 2048},
	"Alias":         {Least: 1, Most: 256, Pattern: aws.NewPattern(`^[a-zA-Z0-9:/_-]+$`)},
	"Plaintext":     {Least: 1, Most: 4096, Secret: true},
	"Blob":          {Least: 1, Most: 6144, Secret: true},
	"PublicKey":     {Least: 1, Most: 8192, Secret: true},
	"Attestation":   {Least: 1, Most: 262144, Secret: true},
	"Policy":        {Least: 1, Most: 131072, Pattern: aws.NewPattern(`[\u0009\u000A\u000D\u0020-\u00FF]+`)},
	"PolicyName":    {Least: 1, Most: 128, Pattern: aws.NewPattern(`[\w]+`)},
	"Description":   {Least: 0, Most: 8192},
	"Principal":     {Least: 1, Most: 256, Pattern: aws.NewPattern(`^[\w+=,.@:/-]+$`)},
	"GrantName":     {Least: 1, Most: 256, Pattern: aws.NewPattern(`^[a-zA-Z0-9:/_-]+$`)},
	"GrantID":       {Least: 1, Most: 128},
	"GrantTokens":   {Least: 0, Most: 10},
	"GrantToken":    {Least: 1, Most: 8192, Secret: true},
	"TagKey":        {Least: 1, Most: 128},
	"TagValue":      {Least: 0, Most: 256},
	"Marker":        {Least: 1, Most: 1024, Pattern: aws.NewPattern(`[\u0020-\u00FF]*`)},
	"Page1000":      {Least: 1, Most: 1000},
	"Page100":       {Least: 1, Most: 100},
	"Page50":        {Least: 1, Most: 50},
	"PageToken":     {Least: 0, Most: 2048},
	"PageOfTags":    {Least: 100, Most: 500},
	"ARNs":          {Least: 1, Most: 100},
	"NumberOfBytes": {Least: 1, Most: 1024},
	"Window":        {Least: 7, Most: 30},
	"Rotation":      {Least: 90, Most: 2560},
	"Material":      {Least: 64, Most: 64, Pattern: aws.NewPattern(`^[a-f0-9]+$`)},
	"MaterialNote":  {Least: 0, Most: 256, Pattern: aws.NewPattern(`^[a-zA-Z0-9:/_\s.-]*$`)},
	"Region":        {Least: 1, Most: 32, Pattern: aws.NewPattern(`^([a-z]+-){2,3}\d+$`)},
	"StoreID":       {Least: 1, Most: 64},
	"StoreName":     {Least: 1, Most: 256},
	"HsmCluster":    {Least: 19, Most: 24, Pattern: aws.NewPattern(`cluster-[2-7a-zA-Z]{11,16}`)},
	"TrustAnchor":   {Least: 1, Most: 5000},
	"StorePassword": {Least: 7, Most: 32, Secret: true},
	"XksKey":        {Least: 1, Most: 128, Pattern: aws.NewPattern(`^[a-zA-Z0-9-_.]+$`)},
	"XksEndpoint":   {Least: 10, Most: 128, Pattern: aws.NewPattern(`^https://[a-zA-Z0-9.-]+$`)},
	"XksPath":       {Least: 10, Most: 128, Pattern: aws.NewPattern(`^(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})$|^(/kms/xks/v\d{1,2})$`)},
	"XksVpc":        {Least: 20, Most: 64, Pattern: aws.NewPattern(`^(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}\d+\.vpce-svc-[0-9a-z]+$`)},
	"Account":       {Least: 12, Most: 12, Pattern: aws.NewPattern(`[0-9]{12}`)},
	"XksAccessKey":  {Least: 20, Most: 30, Pattern: aws.NewPattern(`^[A-Z2-7]+$`), Secret: true},
	"XksSecret":     {Least: 43, Most: 64, Pattern: aws.NewPattern(`^[a-zA-Z0-9\/+=]+$`), Secret: true},
}

// structures is for lists of structures, of which the model does not say how long they may be. AWS KMS takes none as long.
var structures = &aws.Constraint{Most: 200}

// enums are the words that AWS KMS knows, by type.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[kms.KeySpec]():                words(kms.KeySpecs),
	reflect.TypeFor[kms.KeyUsage]():               words(kms.KeyUsages),
	reflect.TypeFor[kms.Origin]():                 words(kms.Origins),
	reflect.TypeFor[kms.DataKeySpec]():            words(kms.DataKeySpecs),
	reflect.TypeFor[kms.MessageType]():            words(kms.MessageTypes),
	reflect.TypeFor[kms.EncryptionAlgorithm]():    words(kms.EncryptionAlgorithms),
	reflect.TypeFor[kms.SigningAlgorithm]():       words(kms.SigningAlgorithms),
	reflect.TypeFor[kms.MacAlgorithm]():           words(kms.MacAlgorithms),
	reflect.TypeFor[kms.KeyAgreementAlgorithm]():  words(kms.KeyAgreementAlgorithms),
	reflect.TypeFor[kms.EncapsulationAlgorithm](): words(kms.EncapsulationAlgorithms),
	reflect.TypeFor[kms.WrappingAlgorithm]():      words(kms.WrappingAlgorithms),
	reflect.TypeFor[kms.ExpirationModel]():        words(kms.ExpirationModels),
	reflect.TypeFor[kms.ImportType]():             words(kms.ImportTypes),
	reflect.TypeFor[kms.GrantOperation]():         words(kms.GrantOperations),
	reflect.TypeFor[keyPairSpec]():                words(kms.DataKeyPairSpecs),
	reflect.TypeFor[wrappingKeySpec]():            words(kms.WrappingKeySpecs),
	reflect.TypeFor[dryRunModifier]():             {"IGNORE_CIPHERTEXT"},
	reflect.TypeFor[includeKeyMaterial]():         {"ALL_KEY_MATERIAL", "ROTATIONS_ONLY"},
	reflect.TypeFor[keyEncryption]():              {"RSAES_OAEP_SHA_256"},
	reflect.TypeFor[kms.CustomKeyStoreType]():     words(kms.CustomKeyStoreTypes),
	reflect.TypeFor[kms.XksProxyConnectivity]():   words(kms.XksProxyConnectivities),
}

func words[T ~string](all []T) []string {
	names := make([]string, len(all))
	for i, w := range all {
		names[i] = string(w)
	}
	return names
}

// member is one member of an input shape. Immutable after membersOf.
type member struct {
	index    int
	name     string // as AWS's messages spell it: keyId
	sent     []byte // as the body spells it, quoted: "KeyId"
	required bool
	aliases  bool // a key identifier may be an alias, too
	key      bool
	limit    *aws.Constraint
	each     *aws.Constraint // of the members of a list
	fields   []member        // of a structure, or a list of one
}

// membersOf reads the tags of an input shape: aws:"[NAME][,required][,key|,anykey][,each=NAME]". It panics on what is no
// tag, which only a mistake in this package can bring about.
func membersOf(t reflect.Type) (all []member) {
	for i := range t.NumField() {
		f := t.Field(i)
		sent, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		m := member{index: i, name: lowerFirst(sent), sent: []byte(`"` + sent + `"`)}
		for j, word := range strings.Split(f.Tag.Get("aws"), ",") {
			each, isEach := strings.CutPrefix(word, "each=")
			switch {
			case word == "required":
				m.required = true
			case word == "key", word == "anykey":
				m.key, m.aliases, m.limit = true, word == "anykey", limitOf("Key")
			case isEach:
				m.each = limitOf(each)
			case j == 0 && word != "":
				m.limit = limitOf(word)
			case word != "":
				panic("awskms: no tag " + word)
			}
		}
		of, list := f.Type, false
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice && of.Elem().Kind() != reflect.Uint8 {
			list = list || of.Kind() == reflect.Slice
			of = of.Elem()
		}
		words := enums[of]
		switch {
		case words != nil && list:
			m.each = &aws.Constraint{Words: words}
		case words != nil:
			m.limit = &aws.Constraint{Words: words}
		case of.Kind() == reflect.Struct && f.Tag.Get("json") != "":
			m.fields = membersOf(of)
			if list && m.limit == nil {
				m.limit = structures
			}
		}
		all = append(all, m)
	}
	return all
}

func limitOf(name string) *aws.Constraint {
	c, ok := constraints[name]
	if !ok {
		panic("awskms: no shape " + name)
	}
	return c
}

func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[n:]
}

// check returns in what a shape that was decoded from body breaks its constraints; nil when in nothing.
func check(v reflect.Value, members []member, body []byte) error {
	var found aws.Findings
	checkMembers(&found, "", v, members, body)
	return found.Err()
}

// checkMembers checks the members of a structure. body is that of the request where the structure is the whole
// request, and nil for those inside.
func checkMembers(found *aws.Findings, prefix string, v reflect.Value, members []member, body []byte) {
	for i := range members {
		m := &members[i]
		field := v.Field(m.index)
		if field.Kind() == reflect.Pointer && !field.IsNil() {
			field = field.Elem()
		} else if field.IsZero() && !present(field, m, body) {
			if m.required {
				found.Missing(prefix + m.name)
			}
			continue
		}
		m.check(found, prefix+m.name, field)
	}
}

// present reports whether a zero value was sent. What is absent of a pointer, blob, list or map is nil; of text the body
// has to be asked.
func present(v reflect.Value, m *member, body []byte) bool {
	return v.Kind() == reflect.String && bytes.Contains(body, m.sent) && names(body, m.sent)
}

// names reports whether a JSON object has a member of a quoted name that is not null. A name that is spelled with
// escapes counts as absent: an empty text under it is then taken for one that was not sent.
func names(body, quoted []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadValue()
		if err != nil {
			return false
		}
		found := bytes.Equal(name, quoted)
		if found {
			return d.PeekKind() != 'n'
		}
		if err := d.SkipValue(); err != nil {
			return false
		}
	}
	return false
}

// check checks one value that is there.
func (m *member) check(found *aws.Findings, at string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if m.limit != nil {
			found.Text(at, v.String(), m.limit)
		}
	case reflect.Int, reflect.Int32:
		if m.limit != nil {
			found.Number(at, int(v.Int()), m.limit)
		}
	case reflect.Slice:
		m.checkList(found, at, v)
	case reflect.Struct:
		checkMembers(found, at+".", v, m.fields, nil)
	}
}

// checkList checks the length of a list or blob, and the members of a list that is as long as it may be.
func (m *member) checkList(found *aws.Findings, at string, v reflect.Value) {
	if m.limit != nil && !found.Length(at, v.Len(), m.limit) {
		return
	}
	for i := 0; i < v.Len() && m.fields != nil && !found.Full(); i++ {
		checkMembers(found, at+"."+strconv.Itoa(i+1)+".member.", v.Index(i), m.fields, nil)
	}
	for i := 0; i < v.Len() && m.each != nil; i++ {
		if !found.Each(at, v.Index(i).String(), m.each) {
			return
		}
	}
}
