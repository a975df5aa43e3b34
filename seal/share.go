package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"strings"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// A share as bytes:
//
//	+-----------+-----------------------+----------+-----+-----+-----+------+
//	| version 1 | cluster fingerprint 8 | set id 8 | t 1 | n 1 | x 1 | y 32 |
//	+-----------+-----------------------+----------+-----+-----+-----+------+
//
// written as one bech32m string with the human-readable part "lockstep": 99 characters. version is
// 1; x, 1 to n, is the share's number and y its values, one for each byte of the unseal key. The
// fingerprint is the beginning of SHA-256(label | 0x00 | cluster id).
const (
	shareHRP     = "lockstep"
	shareVersion = 1
	shareSize    = 52
	shareLength  = len(shareHRP) + 1 + (shareSize*8+4)/5 + bech32mChecksum
)

type share struct {
	fingerprint [8]byte
	set         [8]byte
	t, n, x     byte
	y           [keySize]byte
}

func (s *share) wipe() { clear(s.y[:]) }

// append appends the share's bytes to dst.
func (s *share) append(dst []byte) []byte {
	dst = append(dst, shareVersion)
	dst = append(dst, s.fingerprint[:]...)
	dst = append(dst, s.set[:]...)
	dst = append(dst, s.t, s.n, s.x)
	return append(dst, s.y[:]...)
}

// text returns the share as its holder gets it.
func (s *share) text() secret.Bytes {
	raw := s.append(make([]byte, 0, shareSize))
	defer clear(raw)
	values, _ := regroup(raw, 8, 5, true) // padding cannot fail
	defer clear(values)
	return encodeBech32m(shareHRP, values)
}

// mac is what the Config keeps of a share: one-way, since y is uniformly random.
func (s *share) mac(salt []byte) [32]byte {
	raw := s.append(make([]byte, 0, shareSize))
	defer clear(raw)
	return [32]byte(computeMAC(salt, labelShareMAC, raw))
}

// computeMAC returns HMAC-SHA256(key, label | 0x00 | message).
func computeMAC(key []byte, label string, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(label))
	h.Write([]byte{0})
	h.Write(message)
	return h.Sum(nil)
}

// fingerprint is the public mark of a cluster in its shares.
func fingerprint(clusterID [16]byte) [8]byte {
	sum := sha256.Sum256(append([]byte(labelCluster+"\x00"), clusterID[:]...))
	return [8]byte(sum[:8])
}

// parseShare reads what a holder typed; blanks around it do not matter. The error is
// CodeInvalidShare and holds nothing of the text.
func parseShare(text string) (*share, error) {
	malformed := kms.Errorf(kms.CodeInvalidShare, "This is not a key share: a character is missing, added or mistyped. A share is one line of %d characters that begins with %s1. The shares submitted before still count.", shareLength, shareHRP)
	text = strings.TrimSpace(text)
	if len(text) != shareLength {
		return nil, malformed
	}
	hrp, values, err := decodeBech32m(text)
	if err != nil || hrp != shareHRP {
		return nil, malformed
	}
	defer clear(values)
	raw, err := regroup(values, 5, 8, false)
	if err != nil || len(raw) != shareSize {
		return nil, malformed
	}
	defer clear(raw)
	if raw[0] != shareVersion {
		return nil, kms.Errorf(kms.CodeInvalidShare, "This key share has format %d, which this release does not know. The shares submitted before still count.", raw[0])
	}
	s := &share{t: raw[17], n: raw[18], x: raw[19]}
	copy(s.fingerprint[:], raw[1:9])
	copy(s.set[:], raw[9:17])
	copy(s.y[:], raw[20:])
	if checkSplit(int(s.t), int(s.n), true) != nil || s.x == 0 || s.x > s.n {
		s.wipe()
		return nil, malformed
	}
	return s, nil
}

// CheckShare says whether text is a share of the set that c names, with the errors that
// Unsealer.Submit has for one that is not.
func (c Config) CheckShare(text string) error {
	s, err := c.checkShare(text)
	if err == nil {
		s.wipe()
	}
	return err
}

// checkShare parses a share and compares it with what was issued for the cluster and set of c. The
// caller wipes it.
func (c Config) checkShare(text string) (*share, error) {
	s, err := parseShare(text)
	if err != nil {
		return nil, err
	}
	refuse := func(code kms.Code, message string) (*share, error) {
		s.wipe()
		return nil, kms.Errorf(code, "%s The shares submitted before still count.", message)
	}
	switch {
	case s.fingerprint != fingerprint(c.ClusterID):
		return refuse(kms.CodeShareOtherCluster, "This key share belongs to another cluster.")
	case s.set != c.SetID:
		return refuse(kms.CodeShareSuperseded, "This key share belongs to another set of this cluster; a newer set has replaced it.")
	case int(s.x) > len(c.ShareMACs):
		return refuse(kms.CodeShareWrong, "This key share is well-formed, but it was never issued.")
	}
	mac := s.mac(c.ShareSalt[:])
	if !secret.Equal(mac[:], c.ShareMACs[s.x-1][:]) {
		return refuse(kms.CodeShareWrong, "This key share is well-formed, but its value is not the one that was issued.")
	}
	return s, nil
}
