package awskms

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lockstep-kms/lockstep/kms"
)

// constraint is what the service model says of a shape. Lengths of text are in characters, of blobs in
// bytes, of lists in members; of integers it is the value.
type constraint struct {
	least, most int
	pattern     string // as the model has it, of the whole value; "": any
	secret      bool   // the value is not shown
	matches     *regexp.Regexp
}

// constraints are the shapes of the model that members are tagged with. Where the model takes more than AWS KMS does
// (page sizes, the waiting period), it is what the API reference says.
var constraints = map[string]constraint{
	"Key":           {least: 1, most: 2048},
	"Alias":         {least: 1, most: 256, pattern: `^[a-zA-Z0-9:/_-]+$`},
	"Plaintext":     {least: 1, most: 4096, secret: true},
	"Blob":          {least: 1, most: 6144, secret: true},
	"PublicKey":     {least: 1, most: 8192, secret: true},
	"Attestation":   {least: 1, most: 262144, secret: true},
	"Policy":        {least: 1, most: 131072, pattern: `[\u0009\u000A\u000D\u0020-\u00FF]+`},
	"PolicyName":    {least: 1, most: 128, pattern: `[\w]+`},
	"Description":   {least: 0, most: 8192},
	"Principal":     {least: 1, most: 256, pattern: `^[\w+=,.@:/-]+$`},
	"GrantName":     {least: 1, most: 256, pattern: `^[a-zA-Z0-9:/_-]+$`},
	"GrantID":       {least: 1, most: 128},
	"GrantTokens":   {least: 0, most: 10},
	"GrantToken":    {least: 1, most: 8192, secret: true},
	"TagKey":        {least: 1, most: 128},
	"TagValue":      {least: 0, most: 256},
	"Marker":        {least: 1, most: 1024, pattern: `[\u0020-\u00FF]*`},
	"Page1000":      {least: 1, most: 1000},
	"Page100":       {least: 1, most: 100},
	"Page50":        {least: 1, most: 50},
	"PageToken":     {least: 0, most: 2048},
	"PageOfTags":    {least: 100, most: 500},
	"ARNs":          {least: 1, most: 100},
	"NumberOfBytes": {least: 1, most: 1024},
	"Window":        {least: 7, most: 30},
	"Rotation":      {least: 90, most: 2560},
	"Material":      {least: 64, most: 64, pattern: `^[a-f0-9]+$`},
	"MaterialNote":  {least: 0, most: 256, pattern: `^[a-zA-Z0-9:/_\s.-]*$`},
	"Region":        {least: 1, most: 32, pattern: `^([a-z]+-){2,3}\d+$`},
	"StoreID":       {least: 1, most: 64},
	"StoreName":     {least: 1, most: 256},
	"HsmCluster":    {least: 19, most: 24, pattern: `cluster-[2-7a-zA-Z]{11,16}`},
	"TrustAnchor":   {least: 1, most: 5000},
	"StorePassword": {least: 7, most: 32, secret: true},
	"XksKey":        {least: 1, most: 128, pattern: `^[a-zA-Z0-9-_.]+$`},
	"XksEndpoint":   {least: 10, most: 128, pattern: `^https://[a-zA-Z0-9.-]+$`},
	"XksPath":       {least: 10, most: 128, pattern: `^(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})$|^(/kms/xks/v\d{1,2})$`},
	"XksVpc":        {least: 20, most: 64, pattern: `^(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}\d+\.vpce-svc-[0-9a-z]+$`},
	"Account":       {least: 12, most: 12, pattern: `[0-9]{12}`},
	"XksAccessKey":  {least: 20, most: 30, pattern: `^[A-Z2-7]+$`, secret: true},
	"XksSecret":     {least: 43, most: 64, pattern: `^[a-zA-Z0-9\/+=]+$`, secret: true},
}

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
	limit    *constraint
	each     *constraint // of the members of a list
	words    []string    // of an enumeration, or a list of one
	fields   []member    // of a structure, or a list of one
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
		of := f.Type
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice && of.Elem().Kind() != reflect.Uint8 {
			of = of.Elem()
		}
		m.words = enums[of]
		if of.Kind() == reflect.Struct && f.Tag.Get("json") != "" {
			m.fields = membersOf(of)
		}
		all = append(all, m)
	}
	return all
}

func limitOf(name string) *constraint {
	c, ok := constraints[name]
	if !ok {
		panic("awskms: no shape " + name)
	}
	if c.pattern != "" {
		c.matches = regexp.MustCompile(`^(?:` + codePoint.ReplaceAllString(c.pattern, `\x{$1}`) + `)$`)
	}
	return &c
}

// codePoint is how the model, unlike package regexp, writes a code point.
var codePoint = regexp.MustCompile(`\\u([0-9A-F]{4})`)

func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[n:]
}

// What one answer says of a request, which nobody needs to have signed, is bounded.
const (
	maxFindings = 20  // that are collected
	maxMembers  = 200 // of a list of structures; AWS KMS takes no list of more
)

// findings collects what is wrong with a request: the first maxFindings.
type findings []string

func (f findings) full() bool { return len(f) == maxFindings }

func (f *findings) add(value, at, what string, args ...any) {
	if f.full() {
		return
	}
	*f = append(*f, "Value"+value+" at '"+at+"' failed to satisfy constraint: "+fmt.Sprintf(what, args...))
}

// check returns in what a shape that was decoded from body breaks its constraints, up to maxFindings, in one error
// worded as AWS words it; nil when there is nothing.
func check(v reflect.Value, members []member, body []byte) error {
	var found findings
	checkMembers(&found, "", v, members, body)
	if len(found) == 0 {
		return nil
	}
	errors := "errors"
	if len(found) == 1 {
		errors = "error"
	}
	return kms.Errorf(kms.CodeValidation, "%d validation %s detected: %s", len(found), errors, strings.Join(found, "; "))
}

// checkMembers checks the members of a structure. body is that of the request where the structure is the whole
// request, and nil for those inside.
func checkMembers(found *findings, prefix string, v reflect.Value, members []member, body []byte) {
	for i := range members {
		m := &members[i]
		field := v.Field(m.index)
		if field.Kind() == reflect.Pointer && !field.IsNil() {
			field = field.Elem()
		} else if field.IsZero() && !present(field, m, body) {
			if m.required {
				found.add(" null", prefix+m.name, "Member must not be null")
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
func (m *member) check(found *findings, at string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		s := v.String()
		if m.words != nil && !slices.Contains(m.words, s) {
			found.add(shown(s), at, "%s", m.enum())
			return
		}
		if m.limit != nil {
			m.limit.text(found, at, s)
		}
	case reflect.Int, reflect.Int32:
		if n := int(v.Int()); m.limit != nil && n < m.limit.least {
			found.add(" '"+strconv.Itoa(n)+"'", at, "Member must have value greater than or equal to %d", m.limit.least)
		} else if m.limit != nil && n > m.limit.most {
			found.add(" '"+strconv.Itoa(n)+"'", at, "Member must have value less than or equal to %d", m.limit.most)
		}
	case reflect.Slice:
		m.checkList(found, at, v)
	case reflect.Struct:
		checkMembers(found, at+".", v, m.fields, nil)
	}
}

// checkList checks the length of a list or blob, and the members of a list that is not too long.
func (m *member) checkList(found *findings, at string, v reflect.Value) {
	if m.limit != nil {
		m.limit.length(found, "", at, v.Len())
		if v.Len() > m.limit.most {
			return
		}
	}
	switch v.Type().Elem().Kind() {
	case reflect.Struct:
		if v.Len() > maxMembers {
			found.add("", at, "Member must have length less than or equal to %d", maxMembers)
			return
		}
		for i := 0; i < v.Len() && !found.full(); i++ {
			checkMembers(found, at+"."+strconv.Itoa(i+1)+".member.", v.Index(i), m.fields, nil)
		}
	case reflect.String:
		for i := range v.Len() {
			s := v.Index(i).String()
			switch {
			case m.words != nil && !slices.Contains(m.words, s):
				found.add(shown("["+s+"]"), at, "Member must satisfy constraint: [%s]", m.enum())
				return
			case m.each != nil && !m.each.holds(s):
				found.add("", at, "Member must satisfy constraint: [Member must have length less than or equal to %d, Member must have length greater than or equal to %d]",
					m.each.most, m.each.least)
				return
			}
		}
	}
}

func (m *member) enum() string {
	return "Member must satisfy enum value set: [" + strings.Join(m.words, ", ") + "]"
}

// holds reports whether text keeps the constraint.
func (c *constraint) holds(s string) bool {
	n := utf8.RuneCountInString(s)
	return n >= c.least && n <= c.most && (c.matches == nil || c.matches.MatchString(s))
}

func (c *constraint) text(found *findings, at, s string) {
	if c.holds(s) {
		return
	}
	value := ""
	if !c.secret {
		value = shown(s)
	}
	c.length(found, value, at, utf8.RuneCountInString(s))
	if c.matches != nil && !c.matches.MatchString(s) {
		found.add(value, at, "Member must satisfy regular expression pattern: %s", c.pattern)
	}
}

func (c *constraint) length(found *findings, value, at string, n int) {
	switch {
	case n < c.least:
		found.add(value, at, "Member must have length greater than or equal to %d", c.least)
	case n > c.most:
		found.add(value, at, "Member must have length less than or equal to %d", c.most)
	}
}

// shown is a value for a message.
func shown(s string) string { return " '" + kms.Printable(s) + "'" }
