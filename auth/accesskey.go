package auth

import (
	"io"

	"github.com/lockstep-kms/lockstep/secret"
)

// Shapes of an access key. The id is "AKIA" and 16 characters of A-Z and 2-7 (80 bits); the secret
// has 43 characters of A-Z, a-z and 0-9 (256 bits), so it needs no escaping in URLs, shells or JSON, and is as
// long as AWS KMS asks for in a credential of an external key store (43 to 64).
const (
	AccessKeyIDLength = 20
	SecretLength      = 43
)

const (
	idPrefix       = "AKIA"
	idAlphabet     = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	secretAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// NewAccessKey makes an access key from random, which is crypto/rand.Reader outside tests. The
// caller wipes the secret. The error is random's.
func NewAccessKey(random io.Reader) (id string, sec secret.Bytes, err error) {
	return newAccessKey(random, idPrefix)
}

// NewUniqueID makes the id of an identity or policy: prefix, such as "AIDA", and 17 characters that no other has.
func NewUniqueID(random io.Reader, prefix string) (string, error) {
	raw, err := appendRandom([]byte(prefix), random, idAlphabet, 17)
	return string(raw), err
}

func newAccessKey(random io.Reader, prefix string) (id string, sec secret.Bytes, err error) {
	raw := make([]byte, 0, AccessKeyIDLength)
	raw, err = appendRandom(append(raw, prefix...), random, idAlphabet, AccessKeyIDLength-len(prefix))
	if err != nil {
		return "", nil, err
	}
	sec, err = appendRandom(make(secret.Bytes, 0, SecretLength), random, secretAlphabet, SecretLength)
	if err != nil {
		return "", nil, err
	}
	return string(raw), sec, nil
}

// appendRandom appends n characters of the alphabet, each equally likely: bytes above the largest
// multiple of the alphabet's length are drawn again.
func appendRandom(dst []byte, random io.Reader, alphabet string, n int) ([]byte, error) {
	limit := 256 - 256%len(alphabet)
	var pool [64]byte
	defer secret.Wipe(pool[:])
	for n > 0 {
		if _, err := io.ReadFull(random, pool[:]); err != nil {
			return nil, err
		}
		for _, b := range pool {
			if int(b) < limit && n > 0 {
				dst = append(dst, alphabet[int(b)%len(alphabet)])
				n--
			}
		}
	}
	return dst, nil
}
