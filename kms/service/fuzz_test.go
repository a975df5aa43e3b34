package service_test

import (
	"encoding/binary"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// FuzzMarker lists with markers from outside: none but the service's own is taken.
func FuzzMarker(f *testing.F) {
	c := servicetest.New(f)
	n := c.Node(servicetest.Options{})
	for range 3 {
		n.CreateKey(c.Root)
	}
	answer, err := n.Do(c.Root, kms.OpListKeys, &kms.ListRequest{Limit: 1})
	if err != nil {
		f.Fatal(err)
	}
	own := answer.(*kms.ListKeysAnswer).NextMarker
	for _, seed := range []string{"", own, own[1:], own + "A", own + "=", "AAAAAAAAAAA", "*", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, marker string) {
		_, err := n.Do(c.Root, kms.OpListKeys, &kms.ListRequest{Marker: marker})
		if code := kms.CodeOf(err); code == "" && marker != "" && marker != own || code != "" && code != kms.CodeInvalidMarker {
			t.Fatalf("%q: %v", marker, err)
		}
	})
}

// FuzzDecrypt gives ciphertexts from outside to a node: what it did not make it does not open, and
// every refusal is one of three.
func FuzzDecrypt(f *testing.F) {
	c := servicetest.New(f)
	n := c.Node(servicetest.Options{})
	key := n.CreateKey(c.Root)
	answer, err := n.Do(c.Root, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")})
	if err != nil {
		f.Fatal(err)
	}
	own := answer.(*kms.EncryptAnswer).CiphertextBlob
	raw, err := kms.KeyIDBytes(key)
	if err != nil {
		f.Fatal(err)
	}
	header := append([]byte{1, 1}, raw[:]...)
	f.Add(own)
	f.Add(own[:len(own)-1])
	f.Add(append(binary.BigEndian.AppendUint32(header, 2), own[22:]...))
	f.Add(changed(own, 7))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, ciphertext []byte) {
		_, err := n.Do(c.Root, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext})
		switch code := kms.CodeOf(err); code {
		case "":
			if string(ciphertext) != string(own) {
				t.Fatal("a ciphertext opens that nobody made")
			}
		case kms.CodeInvalidCiphertext, kms.CodeAccessDenied, kms.CodeValidation:
		default:
			t.Fatalf("%v", err)
		}
	})
}
