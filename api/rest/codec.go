package rest

import (
	"bytes"
	"encoding/base64"

	"github.com/go-json-experiment/json"

	"github.com/lockstep-kms/lockstep/kms"
)

// encode renders an answer; a non-nil awaiting stands beside the answer's members.
func encode(answer any, awaiting []string) ([]byte, error) {
	if awaiting == nil {
		if body := encodeCrypto(answer); body != nil {
			return body, nil
		}
	}
	if answer == nil {
		answer = struct{}{}
	}
	body, err := json.Marshal(answer)
	if err != nil || awaiting == nil {
		return body, err
	}
	names, err := json.Marshal(awaiting)
	if err != nil {
		return nil, err
	}
	body = bytes.TrimSuffix(body, []byte("}"))
	if len(body) > 1 {
		body = append(body, ',')
	}
	body = append(body, `"awaiting":`...)
	return append(append(body, names...), '}'), nil
}

// encodeCrypto renders the answers that most requests get, as json.Marshal would and several times as
// fast; nil for every other answer, and for text that needs escaping.
func encodeCrypto(answer any) []byte {
	var o writer
	switch a := answer.(type) {
	case *kms.EncryptAnswer:
		o.begin(len(a.CiphertextBlob))
		o.bytes(`{"ciphertext":"`, a.CiphertextBlob)
		o.text(`","key_id":"`, a.KeyID)
		o.text(`","encryption_algorithm":"`, string(a.EncryptionAlgorithm))
	case *kms.DecryptAnswer:
		o.begin(len(a.Plaintext))
		o.bytes(`{"plaintext":"`, a.Plaintext)
		o.text(`","key_id":"`, a.KeyID)
		o.text(`","encryption_algorithm":"`, string(a.EncryptionAlgorithm))
		o.optional(`","key_material_id":"`, a.KeyMaterialID)
	case *kms.GenerateDataKeyAnswer:
		o.begin(len(a.Plaintext) + len(a.CiphertextBlob))
		if len(a.Plaintext) > 0 {
			o.bytes(`{"plaintext":"`, a.Plaintext)
			o.bytes(`","ciphertext":"`, a.CiphertextBlob)
		} else {
			o.bytes(`{"ciphertext":"`, a.CiphertextBlob)
		}
		o.text(`","key_id":"`, a.KeyID)
		o.optional(`","key_material_id":"`, a.KeyMaterialID)
	default:
		return nil
	}
	if o.escape {
		return nil
	}
	return append(o.b, `"}`...)
}

// writer renders an object of strings; what stands before a value also ends the one before it.
type writer struct {
	b      []byte
	escape bool // a text needs escaping
}

func (o *writer) begin(blobs int) { o.b = make([]byte, 0, 384+blobs*4/3) }

func (o *writer) bytes(before string, value []byte) {
	o.b = base64.StdEncoding.AppendEncode(append(o.b, before...), value)
}

func (o *writer) text(before, value string) {
	for _, c := range []byte(value) {
		o.escape = o.escape || c < 0x20 || c > 0x7e || c == '"' || c == '\\'
	}
	o.b = append(append(o.b, before...), value...)
}

func (o *writer) optional(before, value string) {
	if value != "" {
		o.text(before, value)
	}
}
