package keycmd

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"strings"

	kwp "github.com/tink-crypto/tink-go/v2/kwp/subtle"

	"github.com/lockstep-kms/lockstep/kms"
)

// wrap encrypts key material for its import: with RSA-OAEP, or with a new AES key (RFC 5649) that is
// encrypted with RSA-OAEP and stands before it. spki is the wrapping key.
//
//	RSAES_OAEP_*:        OAEP(material)
//	RSA_AES_KEY_WRAP_*:  OAEP(AES key, 32 bytes) || AES-KWP(material)
func wrap(algorithm kms.WrappingAlgorithm, spki []byte, material kms.Sensitive) ([]byte, error) {
	key, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, errors.New("the wrapping key that the node sent is not readable")
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the wrapping key that the node sent is not an RSA key")
	}
	var h hash.Hash
	switch algorithm {
	case kms.WrapRSAESOAEPSHA1, kms.WrapRSAAESSHA1:
		h = sha1.New()
	case kms.WrapRSAESOAEPSHA256, kms.WrapRSAAESSHA256:
		h = sha256.New()
	default:
		return nil, fmt.Errorf("wrapping with %q is not known here", algorithm)
	}
	if algorithm == kms.WrapRSAESOAEPSHA1 || algorithm == kms.WrapRSAESOAEPSHA256 {
		if most := public.Size() - 2*h.Size() - 2; len(material) > most {
			return nil, fmt.Errorf("%s takes at most %d bytes with this wrapping key and the material has %d; RSA_AES_KEY_WRAP_SHA_256 takes more", algorithm, most, len(material))
		}
		return rsa.EncryptOAEP(h, rand.Reader, public, material, nil)
	}
	var aes [32]byte
	defer clear(aes[:])
	if _, err := rand.Read(aes[:]); err != nil {
		return nil, err
	}
	wrapper, err := kwp.NewKWP(aes[:])
	if err != nil {
		return nil, err
	}
	wrapped, err := wrapper.Wrap(material)
	if err != nil {
		return nil, fmt.Errorf("the material has %d bytes, which cannot be wrapped", len(material))
	}
	first, err := rsa.EncryptOAEP(h, rand.Reader, public, aes[:], nil)
	if err != nil {
		return nil, err
	}
	return append(first, wrapped...), nil
}

// parseMaterial returns what a file of key material holds: a private key in PEM as PKCS #8, and anything
// else as it is.
func parseMaterial(file []byte) (kms.Sensitive, error) {
	if !strings.HasPrefix(string(file), "-----BEGIN ") {
		return file, nil
	}
	for rest := file; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("the file holds no private key")
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			return block.Bytes, nil
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "EC PARAMETERS":
			continue
		default:
			return nil, fmt.Errorf("the file holds a %s, not a private key that is not encrypted", strings.ToLower(block.Type))
		}
		if err != nil {
			return nil, errors.New("the private key is not readable; 'openssl pkcs8 -topk8 -nocrypt' makes one that is")
		}
		return x509.MarshalPKCS8PrivateKey(key)
	}
}

func publicKeyPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
