package auth

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"regexp"
	"testing"
	"testing/iotest"
)

func TestNewAccessKey(t *testing.T) {
	idShape := regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`)
	secretShape := regexp.MustCompile(`^[A-Za-z0-9]{43}$`)
	seen := map[string]bool{}
	for range 200 {
		id, sec, err := NewAccessKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if !idShape.MatchString(id) || !secretShape.MatchString(string(sec)) {
			t.Fatalf("id %q, secret of %d bytes", id, len(sec))
		}
		if seen[id] || seen[string(sec)] {
			t.Fatal("an access key came twice")
		}
		seen[id], seen[string(sec)] = true, true
	}
}

func TestNewSessionKeyAndUniqueID(t *testing.T) {
	id, sec, err := NewSessionKey(rand.Reader)
	if err != nil || !regexp.MustCompile(`^ASIA[A-Z2-7]{16}$`).MatchString(id) || len(sec) != SecretLength {
		t.Errorf("id %q, secret of %d bytes, error %v", id, len(sec), err)
	}
	if id, err := NewUniqueID(rand.Reader, "AROA"); err != nil || !regexp.MustCompile(`^AROA[A-Z2-7]{17}$`).MatchString(id) {
		t.Errorf("id %q, error %v", id, err)
	}
}

// Bytes at or above the largest multiple of the alphabet's length would favour its first letters.
func TestNewAccessKeyIsUnbiased(t *testing.T) {
	var source bytes.Buffer
	source.Write(make([]byte, 64))                     // the id: all A
	source.Write(bytes.Repeat([]byte{248, 255}, 3*32)) // 248 = 4*62: never used for a secret
	source.Write(bytes.Repeat([]byte{247}, 64))        // 247 is the last letter
	id, sec, err := NewAccessKey(&source)
	if err != nil {
		t.Fatal(err)
	}
	if id != "AKIAAAAAAAAAAAAAAAAA" || string(sec) != string(bytes.Repeat([]byte{'9'}, SecretLength)) {
		t.Errorf("id %q, secret %q", id, string(sec))
	}

	counts := map[byte]int{}
	const draws = 62 * 1000
	letters, err := appendRandom(nil, rand.Reader, secretAlphabet, draws)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range letters {
		counts[c]++
	}
	for i := range len(secretAlphabet) {
		if n := counts[secretAlphabet[i]]; n < 800 || n > 1200 { // 6 standard deviations
			t.Errorf("%c came %d times in %d", secretAlphabet[i], n, draws)
		}
	}
}

func TestNewAccessKeyNeedsRandomness(t *testing.T) {
	broken := errors.New("no entropy")
	for _, source := range []io.Reader{
		iotest.ErrReader(broken),
		io.MultiReader(bytes.NewReader(make([]byte, 64)), iotest.ErrReader(broken)),
	} {
		if id, sec, err := NewAccessKey(source); !errors.Is(err, broken) || id != "" || sec != nil {
			t.Errorf("got %q with error %v", id, err)
		}
	}
}
