package xks

import (
	"strconv"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

// The requests as the specification has them. AWS KMS may add members, which are skipped.
type (
	// words is requestMetadata. What is in it is opaque.
	words struct {
		AWSPrincipalARN string `json:"awsPrincipalArn"`
		AWSSourceVPC    string `json:"awsSourceVpc"`
		AWSSourceVPCE   string `json:"awsSourceVpce"`
		KMSKeyARN       string `json:"kmsKeyArn"`
		KMSOperation    string `json:"kmsOperation"`
		KMSRequestID    string `json:"kmsRequestId"`
		KMSViaService   string `json:"kmsViaService"`
	}

	plainRequest struct {
		Words words `json:"requestMetadata"`
	}

	encryptRequest struct {
		Words     words         `json:"requestMetadata"`
		Data      []byte        `json:"additionalAuthenticatedData"`
		Plaintext kms.Sensitive `json:"plaintext"`
		Algorithm string        `json:"encryptionAlgorithm"`
		Integrity string        `json:"ciphertextDataIntegrityValueAlgorithm"`
	}

	decryptRequest struct {
		Words      words  `json:"requestMetadata"`
		Data       []byte `json:"additionalAuthenticatedData"`
		Ciphertext []byte `json:"ciphertext"`
		Metadata   []byte `json:"ciphertextMetadata"`
		IV         []byte `json:"initializationVector"`
		Tag        []byte `json:"authenticationTag"`
		Algorithm  string `json:"encryptionAlgorithm"`
	}
)

// The answers.
type (
	healthAnswer struct {
		FleetSize int      `json:"xksProxyFleetSize"`
		Vendor    string   `json:"xksProxyVendor"`
		Model     string   `json:"xksProxyModel"`
		EKMVendor string   `json:"ekmVendor"`
		EKMs      []member `json:"ekmFleetDetails"`
	}

	member struct {
		ID     string `json:"id"`
		Model  string `json:"model"`
		Health string `json:"healthStatus"`
	}

	metadataAnswer struct {
		KeySpec   string   `json:"keySpec"`
		KeyUsage  []string `json:"keyUsage"`
		KeyStatus string   `json:"keyStatus"`
	}

	encryptAnswer struct {
		Metadata   []byte `json:"ciphertextMetadata"`
		IV         []byte `json:"initializationVector"`
		Ciphertext []byte `json:"ciphertext"`
		Tag        []byte `json:"authenticationTag"`
		Integrity  []byte `json:"ciphertextDataIntegrityValue,omitempty"`
	}

	decryptAnswer struct {
		Plaintext kms.Sensitive `json:"plaintext"`
	}
)

// required is a member that a request must have.
type required struct {
	name  string
	given bool
}

// read decodes a body and refuses one that lacks what it must have.
func read(body []byte, into any, must func() []required) error {
	if err := door.DecodeExtensible(body, into); err != nil {
		return err
	}
	for _, m := range must() {
		if !m.given {
			return kms.Errorf(kms.CodeValidation, "The request has no %s.", m.name)
		}
	}
	return nil
}

// oneOf refuses every word but the one that version 1 of the specification knows.
func oneOf(name, given, known string) error {
	if given != known {
		return kms.Errorf(kms.CodeValidation, "The only %s is %s.", name, known)
	}
	return nil
}

// always are the members of requestMetadata that every request has, ofKeys those of requests about keys, ofUses those of
// requests that use one.
func (m *words) always() []required {
	return []required{{"requestMetadata.kmsRequestId", m.KMSRequestID != ""}, {"requestMetadata.kmsOperation", m.KMSOperation != ""}}
}

func (m *words) ofKeys() []required {
	return append(m.always(), required{"requestMetadata.awsPrincipalArn", m.AWSPrincipalARN != ""})
}

func (m *words) ofUses(more ...required) []required {
	return append(append(m.ofKeys(), required{"requestMetadata.kmsKeyArn", m.KMSKeyARN != ""}), more...)
}

func (m words) xks() *service.XKS {
	x := service.XKS(m)
	return &x
}

func decodeHealth(body []byte, _ string) (any, *service.XKS, error) {
	var q plainRequest
	err := read(body, &q, q.Words.always)
	return &kms.Empty{}, q.Words.xks(), err
}

func decodeMetadata(body []byte, key string) (any, *service.XKS, error) {
	var q plainRequest
	err := read(body, &q, q.Words.ofKeys)
	return &kms.DescribeKeyRequest{KeyID: key}, q.Words.xks(), err
}

func decodeEncrypt(body []byte, key string) (any, *service.XKS, error) {
	var q encryptRequest
	err := read(body, &q, func() []required {
		return q.Words.ofUses(required{"plaintext", q.Plaintext != nil}, required{"encryptionAlgorithm", q.Algorithm != ""})
	})
	if err == nil {
		err = oneOf("encryptionAlgorithm", q.Algorithm, "AES_GCM")
	}
	if err == nil && q.Integrity != "" {
		err = oneOf("ciphertextDataIntegrityValueAlgorithm", q.Integrity, "SHA_256")
	}
	return &service.XKSEncryptRequest{KeyID: key, Plaintext: q.Plaintext, Data: q.Data, Integrity: q.Integrity != ""}, q.Words.xks(), err
}

func decodeDecrypt(body []byte, key string) (any, *service.XKS, error) {
	var q decryptRequest
	err := read(body, &q, func() []required {
		return q.Words.ofUses(required{"ciphertext", q.Ciphertext != nil}, required{"initializationVector", q.IV != nil},
			required{"authenticationTag", q.Tag != nil}, required{"encryptionAlgorithm", q.Algorithm != ""})
	})
	if err == nil {
		err = oneOf("encryptionAlgorithm", q.Algorithm, "AES_GCM")
	}
	return &service.XKSDecryptRequest{KeyID: key, Ciphertext: q.Ciphertext, Metadata: q.Metadata, IV: q.IV, Tag: q.Tag, Data: q.Data}, q.Words.xks(), err
}

// maxMembers is how many entries ekmFleetDetails may have.
const maxMembers = 10

const vendor = "Lockstep"

// health lists the members as external key managers: each is a proxy and a key manager in one. Every tenant may ask: it is
// told how many there are and how they are, not which ids and releases they have.
func (d *Door) health(answer any) any {
	members := answer.(*service.XKSHealth).Members
	a := healthAnswer{FleetSize: len(members), Vendor: vendor, Model: vendor + " " + d.version, EKMVendor: vendor, EKMs: []member{}}
	for i, m := range members[:min(len(members), maxMembers)] {
		one := member{ID: strconv.Itoa(i + 1), Model: vendor, Health: "ACTIVE"}
		if m.Sealed || !m.Healthy {
			one.Health = "UNAVAILABLE"
		}
		a.EKMs = append(a.EKMs, one)
	}
	return a
}

// metadata describes a key in the words of PKCS #11; one that is not symmetric in ours, which AWS KMS takes for no key
// that it can use.
func (d *Door) metadata(answer any) any {
	k := answer.(*kms.KeyAnswer).Key
	a := metadataAnswer{KeySpec: string(k.KeySpec), KeyUsage: []string{string(k.KeyUsage)}, KeyStatus: "DISABLED"}
	if k.KeySpec == kms.SymmetricDefault {
		a.KeySpec = "AES_256"
	}
	if k.KeyUsage == kms.EncryptDecrypt {
		a.KeyUsage = []string{"ENCRYPT", "DECRYPT"}
	}
	if k.KeyState == kms.StateEnabled {
		a.KeyStatus = "ENABLED"
	}
	return a
}

func (d *Door) encrypted(answer any) any { return encryptAnswer(*answer.(*service.XKSEncryptAnswer)) }

func (d *Door) decrypted(answer any) any { return decryptAnswer(*answer.(*service.XKSDecryptAnswer)) }
