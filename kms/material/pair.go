package material

import (
	"slices"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// Pair is a data key pair. The caller wipes Private.
type Pair struct {
	Private secret.Bytes // PKCS#8 DER
	Public  []byte       // SubjectPublicKeyInfo DER
}

// GeneratePair returns a new data key pair of one of kms.DataKeyPairSpecs. Errors: CodeValidation for
// another spec, CodeUnsupported as Generate has it.
func GeneratePair(spec kms.KeySpec) (Pair, error) {
	if !slices.Contains(kms.DataKeyPairSpecs, spec) {
		return Pair{}, kms.Errorf(kms.CodeValidation, "There are no data key pairs of key spec %q.", spec)
	}
	encoding, err := Generate(spec)
	if err != nil {
		return Pair{}, err
	}
	p, err := parsePrivate(spec, encoding)
	if err != nil {
		encoding.Wipe()
		return Pair{}, err
	}
	defer p.wipe()
	public, err := p.spki()
	if err != nil {
		encoding.Wipe()
		return Pair{}, err
	}
	if seeded, ok := p.(*mlkemKey); ok { // stored as a seed, handed out as PKCS#8
		encoding.Wipe()
		encoding, err = seeded.pkcs8()
	}
	return Pair{Private: encoding, Public: public}, err
}
