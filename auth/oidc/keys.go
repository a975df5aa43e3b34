package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// Bounds of a JWK Set.
const (
	maxDocument = 256 << 10
	maxKeys     = 64
	minRSABits  = 2048
	maxRSABits  = 8192
)

// algorithms are those a token may be signed with: asymmetric ones, so that what verifies a token
// cannot make one.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512,
	jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512,
	jose.EdDSA,
}

// key is a public key that verifies signatures.
type key struct {
	id        string // its kid, or ""
	algorithm string // the one algorithm its alg allows, or "" for all that fit
	public    crypto.PublicKey
}

// fits reports whether k may verify signatures of that algorithm. The type of the key decides, not
// the token: an RSA key never meets HMAC, and each curve has one algorithm (RFC 7518, 3.4).
func (k *key) fits(algorithm jose.SignatureAlgorithm) bool {
	if k.algorithm != "" && k.algorithm != string(algorithm) {
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return slices.Contains(algorithms[:6], algorithm)
	case *ecdsa.PublicKey:
		switch public.Params().BitSize {
		case 256:
			return algorithm == jose.ES256
		case 384:
			return algorithm == jose.ES384
		case 521:
			return algorithm == jose.ES512
		}
	case ed25519.PublicKey:
		return algorithm == jose.EdDSA
	}
	return false
}

var (
	errUnsupported = errors.New("holds a key of a type that signs no token")
	errUnsuited    = errors.New("holds a key that is not for signatures")
	errSecret      = errors.New("holds a private or symmetric key")
)

// parseKeys returns the usable keys of a JWK Set. A key that is not understood is left out, as RFC
// 7517, 5 wants it, and so is one that is not for signatures or that is not public.
func parseKeys(document []byte) ([]key, error) {
	entries, err := parseSet(document)
	if err != nil {
		return nil, err
	}
	var keys []key
	for _, entry := range entries {
		if k, err := parseKey(entry); err == nil {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// checkKeys is for a set that somebody configures, so it refuses what parseKeys leaves out, except
// for keys that are for encryption. The error continues a sentence whose subject is the set.
func checkKeys(document string) error {
	entries, err := parseSet([]byte(document))
	if err != nil {
		return err
	}
	usable := 0
	for _, entry := range entries {
		switch _, err := parseKey(entry); {
		case err == nil:
			usable++
		case !errors.Is(err, errUnsuited):
			return err
		}
	}
	if usable == 0 {
		return errors.New("holds no key for signatures")
	}
	return nil
}

func parseSet(document []byte) ([]map[string]any, error) {
	if len(document) > maxDocument {
		return nil, fmt.Errorf("must be at most %d bytes", maxDocument)
	}
	set, err := parseObject(document)
	if err != nil {
		return nil, errors.New("must be one JSON object without a name given twice")
	}
	list, ok := set["keys"].([]any)
	if !ok || len(list) > maxKeys {
		return nil, fmt.Errorf("must have a list \"keys\" of at most %d keys", maxKeys)
	}
	entries := make([]map[string]any, len(list))
	for i, entry := range list {
		if entries[i], ok = entry.(map[string]any); !ok {
			return nil, errors.New("holds a key that is not a JSON object")
		}
	}
	return entries, nil
}

// parseKey reads one JWK (RFC 7517, 4). Of its members only those that make the public key are
// looked at: x5c and the like are another way to name a key and are not needed to have one.
func parseKey(jwk map[string]any) (key, error) {
	for _, private := range [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if _, ok := jwk[private]; ok {
			return key{}, errSecret
		}
	}
	text := make(map[string]string)
	for _, name := range [...]string{"kty", "kid", "alg", "use", "crv", "x", "y", "n", "e"} {
		value, ok := jwk[name].(string)
		if _, present := jwk[name]; present && !ok {
			return key{}, fmt.Errorf("holds a key whose %q is not a string", name)
		}
		text[name] = value
	}
	if text["kty"] == "oct" {
		return key{}, errSecret
	}
	if use := text["use"]; use != "" && use != "sig" {
		return key{}, errUnsuited
	}
	if operations, ok := jwk["key_ops"]; ok {
		list, _ := operations.([]any)
		if !slices.Contains(list, any("verify")) {
			return key{}, errUnsuited
		}
	}
	public, err := publicKey(text)
	if err != nil {
		return key{}, err
	}
	k := key{id: text["kid"], algorithm: text["alg"], public: public}
	if !slices.ContainsFunc(algorithms, k.fits) {
		return key{}, errUnsuited
	}
	return k, nil
}

func publicKey(text map[string]string) (crypto.PublicKey, error) {
	switch text["kty"] {
	case "RSA":
		return rsaKey(text["n"], text["e"])
	case "EC", "OKP":
	default:
		return nil, errUnsupported
	}
	minimal, err := json.Marshal(map[string]string{
		"kty": text["kty"], "crv": text["crv"], "x": text["x"], "y": text["y"],
	})
	if err != nil {
		return nil, errUnsupported
	}
	var parsed jose.JSONWebKey
	if err := parsed.UnmarshalJSON(minimal); err != nil || !parsed.Valid() || !parsed.IsPublic() {
		return nil, errors.New("holds a key that cannot be read")
	}
	return parsed.Key, nil
}

// rsaKey exists because go-jose bounds RSA keys at 4096 bits by a package variable, which is not
// ours to change, while issuers with keys of 8192 bits exist.
func rsaKey(modulus, exponent string) (*rsa.PublicKey, error) {
	n, err := base64.RawURLEncoding.DecodeString(modulus)
	if err != nil {
		return nil, errors.New("holds an RSA key whose modulus cannot be read")
	}
	e, err := base64.RawURLEncoding.DecodeString(exponent)
	if err != nil || len(e) > 4 {
		return nil, errors.New("holds an RSA key whose exponent cannot be read")
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(n)}
	if bits := public.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, fmt.Errorf("holds an RSA key that is not of %d to %d bits", minRSABits, maxRSABits)
	}
	value := new(big.Int).SetBytes(e).Int64()
	if value < 3 || value > 1<<31-1 || value&1 == 0 {
		return nil, errors.New("holds an RSA key whose exponent is not an odd number from 3 to 2^31-1")
	}
	public.E = int(value)
	return public, nil
}
