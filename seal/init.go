package seal

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/lockstep-kms/lockstep/aead"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// Params says how the unseal key is split.
type Params struct {
	Shares        int  // n, at most MaxShares
	Threshold     int  // t, 2 <= t <= n
	AllowSingle   bool // also allow 1 of 1, for development
	AllowUnlocked bool // go on where memory cannot be locked
}

// Initialize makes a new cluster's identity and keys. The shares are returned here and exist
// nowhere else; the caller hands them out and wipes them. The Barrier seals the first records. The error
// is kms.CodeValidation for impossible Params.
func Initialize(p Params) (Config, []secret.Bytes, *Barrier, error) {
	var clusterID [16]byte
	rand.Read(clusterID[:])
	return initialize(clusterID, p)
}

// ReInitialize makes everything anew except the cluster id, for an init whose answer was lost.
// Records and shares of the old Config are worthless afterwards. The error is
// kms.CodeAlreadyInitialized when the old set has unsealed once.
func ReInitialize(old Config, p Params) (Config, []secret.Bytes, *Barrier, error) {
	if old.Activated {
		return Config{}, nil, nil, kms.Errorf(kms.CodeAlreadyInitialized, "This cluster was initialized and has been unsealed; it cannot be initialized again.")
	}
	return initialize(old.ClusterID, p)
}

func initialize(clusterID [16]byte, p Params) (Config, []secret.Bytes, *Barrier, error) {
	if err := checkSplit(p.Threshold, p.Shares, p.AllowSingle); err != nil {
		return Config{}, nil, nil, err
	}
	// unseal key | root key | index key | keyring
	mem, err := secret.NewLocked(3*keySize+keyringHeader+keyringEntry, p.AllowUnlocked)
	if err != nil {
		return Config{}, nil, nil, errMemory(err)
	}
	defer mem.Close()
	keys := mem.Bytes()
	rand.Read(keys)
	unsealKey, root, index, keyring := keys[:keySize], keys[keySize:2*keySize], keys[2*keySize:3*keySize], keys[3*keySize:]
	keyring[0] = keyringVersion
	binary.BigEndian.PutUint32(keyring[1:], 1)
	binary.BigEndian.PutUint32(keyring[keyringHeader:], 1)

	c := Config{Schema: configSchema, ClusterID: clusterID, Threshold: uint8(p.Threshold), Shares: uint8(p.Shares)}
	rand.Read(c.SetID[:])
	rand.Read(c.ShareSalt[:])
	shares := c.issueShares(unsealKey)
	if err := c.wrap(unsealKey, root, index, keyring); err != nil {
		return Config{}, nil, nil, err
	}
	b, err := openBarrier(c, unsealKey, p.AllowUnlocked)
	if err != nil {
		return Config{}, nil, nil, err
	}
	return c, shares, b, nil
}

// issueShares splits the unseal key and records each share's MAC.
func (c *Config) issueShares(unsealKey []byte) []secret.Bytes {
	texts := make([]secret.Bytes, c.Shares)
	c.ShareMACs = make([][32]byte, c.Shares)
	for i, y := range split(unsealKey, int(c.Threshold), int(c.Shares)) {
		s := share{fingerprint: fingerprint(c.ClusterID), set: c.SetID, t: c.Threshold, n: c.Shares, x: byte(i + 1)}
		copy(s.y[:], y)
		clear(y)
		texts[i] = s.text()
		c.ShareMACs[i] = s.mac(c.ShareSalt[:])
		s.wipe()
	}
	return texts
}

// wrap fills the wrapped keys and the MAC.
func (c *Config) wrap(unsealKey, root, index, keyring []byte) (err error) {
	if c.WrappedRoot, err = aead.Seal(nil, unsealKey, labelRoot, c.rootInfo(), nil, root); err != nil {
		return err
	}
	if c.WrappedIndexKey, err = aead.Seal(nil, root, labelIndex, c.ClusterID[:], nil, index); err != nil {
		return err
	}
	if c.WrappedKeyring, err = aead.Seal(nil, root, labelKeyring, c.ClusterID[:], nil, keyring); err != nil {
		return err
	}
	c.MAC, err = c.mac(root)
	return err
}
