package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"

	"github.com/fxamacker/cbor/v2"
	"github.com/lockstep-kms/lockstep/aead"
	"github.com/lockstep-kms/lockstep/secret"
)

// Bounds of an encoded Config.
const (
	configSchema  = 1
	maxTerms      = 1024
	maxConfigSize = 64 << 10
	wrappedKey    = aead.Overhead + keySize
)

// Config is the seal configuration: the body of the one record that is not sealed, in canonical
// CBOR. It holds no secret in clear. MAC covers every other field under the root key, so a change
// is found at unseal; until then a Config is a claim. A Config is immutable; copies share slices.
type Config struct {
	Schema          uint8      `cbor:"1,keyasint"` // 1
	ClusterID       [16]byte   `cbor:"2,keyasint"`
	SetID           [8]byte    `cbor:"3,keyasint"` // of the shares that unseal
	Threshold       uint8      `cbor:"4,keyasint"`
	Shares          uint8      `cbor:"5,keyasint"`
	ShareSalt       [32]byte   `cbor:"6,keyasint"`  // the key of ShareMACs
	ShareMACs       [][32]byte `cbor:"7,keyasint"`  // HMAC of share x at x-1
	WrappedRoot     []byte     `cbor:"8,keyasint"`  // root key under the unseal key
	WrappedKeyring  []byte     `cbor:"9,keyasint"`  // keyring under the root key
	WrappedIndexKey []byte     `cbor:"10,keyasint"` // index key under the root key
	Activated       bool       `cbor:"11,keyasint"` // the shares unsealed once: init cannot be done again
	MAC             [32]byte   `cbor:"12,keyasint"`
}

var (
	configEncoder = must(cbor.CanonicalEncOptions().EncMode())
	configDecoder = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:   4,
		MaxArrayElements:  MaxShares,
		MaxMapPairs:       16,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode())
)

// must is for the codec options above, which are constants.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Encode returns the record body.
func (c Config) Encode() ([]byte, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	return configEncoder.Marshal(c)
}

// DecodeConfig reads a record body. Exactly the bytes that Encode writes are accepted; the MAC is
// not checked, which needs the root key. The error is CodeUnavailable with reason "seal_config".
func DecodeConfig(body []byte) (Config, error) {
	if len(body) > maxConfigSize {
		return Config{}, errConfig("it is %d bytes long", len(body))
	}
	var c Config
	if err := configDecoder.Unmarshal(body, &c); err != nil {
		return Config{}, errConfig("it cannot be read")
	}
	again, err := c.Encode()
	if err != nil {
		return Config{}, err
	}
	if !bytes.Equal(again, body) {
		return Config{}, errConfig("it is not in its one canonical form")
	}
	return c, nil
}

func (c Config) validate() error {
	terms := (len(c.WrappedKeyring) - aead.Overhead - keyringHeader) / keyringEntry
	switch {
	case c.Schema != configSchema:
		return errConfig("its schema is %d, which this release does not know", c.Schema)
	case checkSplit(int(c.Threshold), int(c.Shares), true) != nil:
		return errConfig("%d of %d shares are not possible", c.Threshold, c.Shares)
	case len(c.ShareMACs) != int(c.Shares):
		return errConfig("it knows %d of %d shares", len(c.ShareMACs), c.Shares)
	case len(c.WrappedRoot) != wrappedKey || len(c.WrappedIndexKey) != wrappedKey:
		return errConfig("a wrapped key has the wrong length")
	case terms < 1 || terms > maxTerms || len(c.WrappedKeyring) != aead.Overhead+keyringHeader+terms*keyringEntry:
		return errConfig("the keyring has the wrong length")
	}
	return nil
}

// mac returns the MAC that c should carry under the root key.
func (c Config) mac(root []byte) ([32]byte, error) {
	c.MAC = [32]byte{}
	body, err := c.Encode()
	if err != nil {
		return [32]byte{}, err
	}
	key, err := hkdf.Key(sha256.New, root, nil, labelConfigMAC, keySize)
	if err != nil {
		return [32]byte{}, err
	}
	defer clear(key)
	return [32]byte(computeMAC(key, labelConfigMAC, body)), nil
}

// verify checks the MAC.
func (c Config) verify(root []byte) error {
	want, err := c.mac(root)
	if err != nil {
		return err
	}
	if !secret.Equal(want[:], c.MAC[:]) {
		return errConfig("its MAC is wrong")
	}
	return nil
}

// rootInfo is what the wrapped root key is bound to.
func (c Config) rootInfo() []byte {
	return append(c.ClusterID[:len(c.ClusterID):len(c.ClusterID)], c.SetID[:]...)
}
