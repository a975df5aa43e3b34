package service

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"maps"
	"strings"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/material"
	"github.com/lockstep-kms/lockstep/secret"
)

// What an external key store (XKS) of AWS KMS asks for. A call that has an XKS is one of these operations, with the
// same rights, states and audit records as from everywhere, and with messages of its own:
//
//	OpEncrypt            *XKSEncryptRequest -> *XKSEncryptAnswer
//	OpDecrypt            *XKSDecryptRequest -> *XKSDecryptAnswer
//	OpDescribeKey        *kms.DescribeKeyRequest    -> *kms.KeyAnswer
//	OpGetCallerIdentity  *kms.Empty         -> *XKSHealth
//
// https://github.com/aws/aws-kms-xksproxy-api-spec
type (
	// XKS is what AWS KMS says of the request of its own that it is serving. Whoever has the access key of the external
	// key store can say anything: it is recorded, and policies may narrow rights by it, by the condition keys
	// xks:AwsPrincipalArn, xks:KmsKeyArn and so on.
	XKS struct {
		AWSPrincipalARN string
		AWSSourceVPC    string
		AWSSourceVPCE   string
		KMSKeyARN       string
		KMSOperation    string
		KMSRequestID    string
		KMSViaService   string
	}

	// XKSEncryptRequest asks for AES-GCM of up to 4300 bytes with up to 8192 bytes of Data (additionalAuthenticatedData).
	XKSEncryptRequest struct {
		KeyID     string
		Plaintext kms.Sensitive
		Data      []byte
		Integrity bool // SHA_256 is wanted over all that is answered (ciphertextDataIntegrityValue)
	}

	// XKSEncryptAnswer carries a ciphertext, which is as long as its plaintext, and what decrypting it takes.
	XKSEncryptAnswer struct {
		Metadata   []byte // ciphertextMetadata, 20 bytes
		IV         []byte // initializationVector, 16 bytes
		Ciphertext []byte
		Tag        []byte // authenticationTag, 16 bytes
		Integrity  []byte // 32 bytes, when it was wanted
	}

	// XKSDecryptRequest asks for the plaintext of what XKSEncryptAnswer carries.
	XKSDecryptRequest struct {
		KeyID      string
		Metadata   []byte
		IV         []byte
		Ciphertext []byte
		Tag        []byte
		Data       []byte
	}

	// XKSDecryptAnswer carries the plaintext.
	XKSDecryptAnswer struct{ Plaintext kms.Sensitive }

	// XKSHealth says that this node encrypts and decrypts now, and which members the cluster has.
	XKSHealth struct{ Members []kms.Member }
)

// Limits of the XKS proxy protocol, in bytes.
const (
	maxXKSPlaintext = 4300
	maxXKSText      = 2048 // of one member of XKS: an ARN may have as many
)

// xksUses are how calls with an XKS are served.
func xksUses() map[*kms.Operation]*use {
	return map[*kms.Operation]*use{
		kms.OpEncrypt:           reading(checkXKSEncrypt, xksEncrypt),
		kms.OpDecrypt:           reading(checkXKSDecrypt, xksDecrypt),
		kms.OpDescribeKey:       reading(checkXKSDescribe, describeKey),
		kms.OpGetCallerIdentity: reading(checkXKSHealth, xksHealth),
	}
}

// words are the members by the names that the protocol and audit records have.
func (x *XKS) words() map[string]string {
	all := map[string]string{
		"awsPrincipalArn": x.AWSPrincipalARN, "awsSourceVpc": x.AWSSourceVPC, "awsSourceVpce": x.AWSSourceVPCE, "kmsKeyArn": x.KMSKeyARN,
		"kmsOperation": x.KMSOperation, "kmsRequestId": x.KMSRequestID, "kmsViaService": x.KMSViaService,
	}
	maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
	return all
}

// word returns one of the words by its name in lower case; "" of a call without an XKS.
func (x *XKS) word(name string) string {
	if x == nil {
		return ""
	}
	for k, v := range x.words() {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

// checkXKS refuses what is longer than anything that AWS KMS says, and notes the rest.
func (r *request) checkXKS() error {
	words := r.call.XKS.words()
	for name, word := range words {
		if len(word) > maxXKSText {
			return kms.Errorf(kms.CodeTooLarge, "The member %s of the request metadata is longer than %d bytes.", name, maxXKSText)
		}
	}
	r.noteMap("requestMetadata", words)
	return nil
}

// checkXKSKey is checkXKS and reads the id of the key: no alias and no ARN.
func (r *request) checkXKSKey(id string) error {
	if err := r.checkXKS(); err != nil {
		return err
	}
	if _, err := kms.KeyIDBytes(id); err != nil {
		return err
	}
	return r.parseSubject(id, nil)
}

func checkXKSDescribe(r *request, q *kms.DescribeKeyRequest) error { return r.checkXKSKey(q.KeyID) }

func checkXKSHealth(r *request, _ *kms.Empty) error { return r.checkXKS() }

// checkXKSText refuses lengths that the protocol does not ask for.
func checkXKSText(name string, text, data []byte) error {
	switch {
	case len(text) == 0:
		return kms.Errorf(kms.CodeValidation, "The %s is empty.", name)
	case len(text) > maxXKSPlaintext:
		return kms.Errorf(kms.CodeTooLarge, "The %s is longer than %d bytes.", name, maxXKSPlaintext)
	case len(data) > material.MaxXKSData:
		return kms.Errorf(kms.CodeTooLarge, "The additional authenticated data is longer than %d bytes.", material.MaxXKSData)
	}
	return nil
}

func checkXKSEncrypt(r *request, q *XKSEncryptRequest) error {
	if err := r.checkXKSKey(q.KeyID); err != nil {
		return err
	}
	return checkXKSText("plaintext", q.Plaintext, q.Data)
}

// xksKey returns the key of a call that uses it.
func (r *request) xksKey() (*catalog.Key, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err == nil {
		err = r.ready(k)
	}
	if err == nil {
		err = fits(k, kms.AlgorithmSymmetricDefault, nil)
	}
	return k, err
}

func xksEncrypt(r *request, q *XKSEncryptRequest) (any, error) {
	k, err := r.xksKey()
	if err != nil {
		return nil, err
	}
	m, err := r.current(k)
	if err != nil {
		return nil, err
	}
	return xksSeal(m, k.Raw, k.Current().Version, q)
}

// xksSeal encrypts. The integrity value is computed before the ciphertext is opened again, in the order that the
// protocol's appendix C gives the reasons for: what flips between the two makes the answer fail here, not years later.
func xksSeal(m *material.Key, id [16]byte, version uint32, q *XKSEncryptRequest) (*XKSEncryptAnswer, error) {
	blob, err := m.EncryptXKS(id, version, q.Data, q.Plaintext)
	if err != nil {
		return nil, err
	}
	const iv, text = material.XKSMetadataSize, material.XKSMetadataSize + material.XKSIVSize
	tag := len(blob) - material.XKSTagSize
	answer := &XKSEncryptAnswer{Metadata: blob[:iv], IV: blob[iv:text], Ciphertext: blob[text:tag], Tag: blob[tag:]}
	if !q.Integrity {
		return answer, nil
	}
	h := sha256.New()
	h.Write(q.Data)
	h.Write(blob)
	answer.Integrity = h.Sum(nil)
	plaintext, err := m.DecryptXKS(id, q.Data, blob)
	defer secret.Wipe(plaintext)
	if err == nil && subtle.ConstantTimeCompare(plaintext, q.Plaintext) != 1 {
		err = errors.New("another plaintext")
	}
	if err != nil {
		return nil, kms.Errorf(kms.CodeInternal, "The ciphertext that was made does not decrypt.").WithCause(err)
	}
	return answer, nil
}

func checkXKSDecrypt(r *request, q *XKSDecryptRequest) error {
	if err := r.checkXKSKey(q.KeyID); err != nil {
		return err
	}
	if err := checkXKSText("ciphertext", q.Ciphertext, q.Data); err != nil {
		return err
	}
	if len(q.Metadata) != material.XKSMetadataSize || len(q.IV) != material.XKSIVSize || len(q.Tag) != material.XKSTagSize {
		return invalidCiphertext()
	}
	return nil
}

func xksDecrypt(r *request, q *XKSDecryptRequest) (any, error) {
	k, err := r.xksKey()
	if err != nil {
		return nil, err
	}
	blob := make([]byte, 0, material.XKSOverhead+len(q.Ciphertext))
	blob = append(append(append(append(blob, q.Metadata...), q.IV...), q.Ciphertext...), q.Tag...)
	version, err := material.ParseXKS(blob)
	if err != nil {
		return nil, err
	}
	m, err := r.material(k, version)
	if err != nil {
		return nil, err
	}
	plaintext, err := m.DecryptXKS(k.Raw, q.Data, blob)
	if err != nil {
		return nil, err
	}
	return &XKSDecryptAnswer{Plaintext: plaintext}, nil
}

// xksHealth encrypts and decrypts with a key that is nobody's, on a confirmed view, under the lease that a use of a key
// would be served under: who is answered can go on. A key that is somebody's would be a use of it.
func xksHealth(r *request, _ *kms.Empty) (any, error) {
	if err := r.Replica.Lease(); err != nil {
		return nil, err
	}
	plain, err := material.Generate(kms.SymmetricDefault)
	if err != nil {
		return nil, err
	}
	defer plain.Wipe()
	m, err := material.Open(kms.SymmetricDefault, plain)
	if err != nil {
		return nil, err
	}
	defer m.Wipe()
	if _, err := xksSeal(m, [16]byte{}, 1, &XKSEncryptRequest{Plaintext: []byte("health"), Integrity: true}); err != nil {
		return nil, err
	}
	members, err := r.Cluster.Members(r.ctx)
	if err != nil {
		return nil, err
	}
	return &XKSHealth{Members: members}, nil
}
