package seal

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/lockstep-kms/lockstep/aead"
	"github.com/lockstep-kms/lockstep/kms"
)

// unsealKeyOf combines shares without any check.
func unsealKeyOf(t testing.TB, texts []string) []byte {
	t.Helper()
	var xs []byte
	var ys [][]byte
	for _, text := range texts {
		s, err := parseShare(text)
		if err != nil {
			t.Fatal(err)
		}
		xs, ys = append(xs, s.x), append(ys, s.y[:])
	}
	key := make([]byte, keySize)
	if err := combine(key, xs, ys); err != nil {
		t.Fatal(err)
	}
	return key
}

func isConfigError(err error) bool {
	e := kms.AsError(err)
	return e != nil && e.Code == kms.CodeUnavailable && e.Reason == "seal_config"
}

func TestInitialize(t *testing.T) {
	for _, p := range []Params{{Shares: 2, Threshold: 2}, {Shares: 5, Threshold: 3}, {Shares: 32, Threshold: 2}, {Shares: 32, Threshold: 32}, {Shares: 1, Threshold: 1, AllowSingle: true}} {
		c, texts, b, err := Initialize(p)
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		if c.Activated || len(texts) != p.Shares || b.Term() != 1 || b.ClusterID() != c.ClusterID {
			t.Errorf("%+v: activated %v, %d shares, term %d", p, c.Activated, len(texts), b.Term())
		}
		if s := fmt.Sprintf("%v %+v %#v", texts, texts, texts); strings.Contains(s, string(texts[0])) {
			t.Errorf("shares print as %s", s)
		}
		b.Wipe()
	}
	for _, p := range []Params{{}, {Shares: 1, Threshold: 1}, {Shares: 5, Threshold: 1}, {Shares: 5, Threshold: 1, AllowSingle: true}, {Shares: 3, Threshold: 4},
		{Shares: 33, Threshold: 3}, {Shares: -1, Threshold: -1}, {Shares: 258, Threshold: 3}, {Shares: 3, Threshold: 0}} {
		if _, texts, b, err := Initialize(p); kms.CodeOf(err) != kms.CodeValidation || texts != nil || b != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestReInitialize(t *testing.T) {
	c, _, b := newSet(t, 2, 3)
	again, texts, b2, err := ReInitialize(c, Params{Shares: 4, Threshold: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer b2.Wipe()
	if again.ClusterID != c.ClusterID || again.SetID == c.SetID || len(texts) != 4 {
		t.Errorf("cluster %x, was %x; set %x, was %x", again.ClusterID, c.ClusterID, again.SetID, c.SetID)
	}
	body, _, err := b.Seal(3, "id", 1, []byte("old"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b2.Open(3, "id", 1, body); err != ErrOpen {
		t.Errorf("a record of the replaced keys: %v", err)
	}
	if b.NameID("alias", "x") == b2.NameID("alias", "x") {
		t.Error("the index key was kept")
	}
	if _, err := b2.MarkActivated(c); !isConfigError(err) {
		t.Errorf("the new keys activated the old configuration: %v", err)
	}
	activated, err := b.MarkActivated(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := ReInitialize(activated, Params{Shares: 4, Threshold: 3}); kms.CodeOf(err) != kms.CodeAlreadyInitialized {
		t.Errorf("after activation: %v", err)
	}
}

func TestMarkActivated(t *testing.T) {
	c, texts, b := newSet(t, 2, 3)
	activated, err := b.MarkActivated(c)
	if err != nil || !activated.Activated || activated.MAC == c.MAC {
		t.Fatalf("%+v, %v", activated, err)
	}
	c.Activated, c.MAC = true, activated.MAC
	if !reflect.DeepEqual(c, activated) {
		t.Error("more than the mark changed")
	}
	again, err := b.MarkActivated(activated)
	if err != nil || !reflect.DeepEqual(again, activated) {
		t.Errorf("a second activation: %+v, %v", again, err)
	}
	opened, err := openBarrier(activated, unsealKeyOf(t, texts[:2]), false)
	if err != nil {
		t.Fatal(err)
	}
	opened.Wipe()
	activated.Activated = false
	if _, err := openBarrier(activated, unsealKeyOf(t, texts[:2]), false); !isConfigError(err) {
		t.Errorf("with the mark taken away: %v", err)
	}
}

func TestConfigRoundTrip(t *testing.T) {
	for _, n := range []int{1, 2, 32} {
		c, _, _ := newSet(t, n, n)
		body, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeConfig(body)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("n=%d: %+v, %v", n, got, err)
		}
	}
}

// TestConfigTamper flips every bit of an encoded configuration: either it does not decode, or it does
// not unseal, with the right unseal key.
func TestConfigTamper(t *testing.T) {
	c, texts, _ := newSet(t, 2, 3)
	key := unsealKeyOf(t, texts[1:])
	body, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	decoded := 0
	for bit := range 8 * len(body) {
		changed := bytes.Clone(body)
		changed[bit/8] ^= 1 << (bit % 8)
		c, err := DecodeConfig(changed)
		if err != nil {
			if !isConfigError(err) {
				t.Fatalf("bit %d: %v", bit, err)
			}
			continue
		}
		decoded++
		if b, err := openBarrier(c, key, false); !isConfigError(err) || b != nil {
			t.Errorf("bit %d: unsealed with a changed configuration: %v", bit, err)
		}
	}
	if decoded < 4*len(body) {
		t.Errorf("only %d of %d changed bits reached the MAC", decoded, 8*len(body))
	}
}

// TestConfigFieldsUnderMAC changes each field of its own: whatever a later release adds must be
// covered as well.
func TestConfigFieldsUnderMAC(t *testing.T) {
	c, texts, _ := newSet(t, 2, 3)
	other, _, _ := newSet(t, 2, 3)
	key := unsealKeyOf(t, texts[:2])
	for i := range reflect.TypeFor[Config]().NumField() {
		changed := c
		field := reflect.ValueOf(&changed).Elem().Field(i)
		name := reflect.TypeFor[Config]().Field(i).Name
		switch {
		case name == "Schema":
			continue // one value only, so that it does not decode
		case name == "Threshold":
			field.SetUint(3)
		case name == "Shares":
			changed.Shares, changed.ShareMACs = 2, c.ShareMACs[:2]
		case field.Kind() == reflect.Bool:
			field.SetBool(!field.Bool())
		default:
			field.Set(reflect.ValueOf(other).Field(i))
		}
		if b, err := openBarrier(changed, key, false); !isConfigError(err) || b != nil {
			t.Errorf("unsealed with another %s: %v", name, err)
		}
	}
}

func TestDecodeConfigRefuses(t *testing.T) {
	c, _, _ := newSet(t, 2, 3)
	good, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	variant := func(change func(c *Config)) []byte {
		v := c
		change(&v)
		raw, err := configEncoder.Marshal(v) // not Encode, which would refuse
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	var fields map[int]any
	if err := cbor.Unmarshal(good, &fields); err != nil {
		t.Fatal(err)
	}
	fields[13] = 1
	unknown, err := configEncoder.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{
		"empty":             {},
		"trailing byte":     append(bytes.Clone(good), 0),
		"too large":         make([]byte, maxConfigSize+1),
		"unknown field":     unknown,
		"not shortest form": append([]byte{0xb8, 12}, good[1:]...),
		"other schema":      variant(func(c *Config) { c.Schema = 2 }),
		"threshold 0":       variant(func(c *Config) { c.Threshold = 0 }),
		"threshold above n": variant(func(c *Config) { c.Threshold = 4 }),
		"too few MACs":      variant(func(c *Config) { c.ShareMACs = c.ShareMACs[:2] }),
		"no root key":       variant(func(c *Config) { c.WrappedRoot = nil }),
		"long index key":    variant(func(c *Config) { c.WrappedIndexKey = append(bytes.Clone(c.WrappedIndexKey), 0) }),
		"empty keyring":     variant(func(c *Config) { c.WrappedKeyring = c.WrappedKeyring[:aead.Overhead+keyringHeader] }),
		"cut keyring":       variant(func(c *Config) { c.WrappedKeyring = c.WrappedKeyring[:len(c.WrappedKeyring)-1] }),
		"no keyring":        variant(func(c *Config) { c.WrappedKeyring = nil }),
		"too many terms": variant(func(c *Config) {
			c.WrappedKeyring = make([]byte, aead.Overhead+keyringHeader+keyringEntry*(maxTerms+1))
		}),
	} {
		if _, err := DecodeConfig(body); !isConfigError(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseKeyring(t *testing.T) {
	entry := func(term string) string { return term + strings.Repeat("ab", keySize) }
	for name, text := range map[string]string{
		"empty":          "",
		"other version":  "0200000001" + entry("00000001"),
		"no terms":       "0100000001",
		"cut":            "0100000001" + entry("00000001")[:70],
		"term 0":         "0100000000" + entry("00000000"),
		"repeated term":  "0100000001" + entry("00000001") + entry("00000001"),
		"falling terms":  "0100000001" + entry("00000002") + entry("00000001"),
		"no active term": "0100000003" + entry("00000001") + entry("00000002"),
	} {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := parseKeyring(raw); !isConfigError(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	raw, _ := hex.DecodeString("0100000002" + entry("00000001") + entry("00000002") + entry("ffffffff"))
	active, terms, err := parseKeyring(raw)
	if err != nil || active != 2 || len(terms) != 3 || len(terms[0xffffffff]) != keySize {
		t.Errorf("active %d, %d terms, %v", active, len(terms), err)
	}
}

func FuzzDecodeConfig(f *testing.F) {
	c, _, b, err := Initialize(Params{Shares: 3, Threshold: 2})
	if err != nil {
		f.Fatal(err)
	}
	b.Wipe()
	body, err := c.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add(body[:len(body)/2])
	f.Add([]byte{0xa0})
	f.Add([]byte{0xbf, 0xff})
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := DecodeConfig(body)
		if err != nil {
			if !isConfigError(err) {
				t.Fatal(err)
			}
			return
		}
		again, err := c.Encode()
		if err != nil || !bytes.Equal(again, body) {
			t.Fatalf("accepted a second form: %v", err)
		}
		if b, err := openBarrier(c, make([]byte, keySize), true); err == nil {
			b.Wipe()
			t.Fatal("unsealed with a key of zeros")
		}
	})
}
