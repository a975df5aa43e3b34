package material

import (
	"bytes"
	"crypto/fips140"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// fipsChild makes TestFIPSChild run its checks: the mode is that of a whole process.
const fipsChild = "LOCKSTEP_MATERIAL_TEST_FIPS"

func TestFIPS(t *testing.T) {
	t.Parallel()
	if fips140.Version() == "" {
		t.Fatal("this toolchain has no FIPS module")
	}
	for _, mode := range []string{"on", "only"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFIPSChild$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140="+mode, fipsChild+"="+mode)
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("checked 14 specs and refused 5")) {
			t.Errorf("fips140=%s: %v\n%s", mode, err, out)
		}
	}
}

func TestAllowedFIPS(t *testing.T) {
	refused := map[kms.KeySpec]bool{kms.ECCSECGP256K1: true, kms.MLDSA44: true, kms.MLDSA65: true, kms.MLDSA87: true, kms.MLKEM512: true, kms.SM2: true}
	for _, spec := range append([]kms.KeySpec{"DES"}, kms.KeySpecs...) {
		if got := AllowedFIPS(spec); got == (refused[spec] || spec == "DES") {
			t.Errorf("%s: %v", spec, got)
		}
	}
}

// In FIPS mode every allowed spec does everything it has but OAEP with SHA-1, and every other one is
// refused with the mode's name.
func TestFIPSChild(t *testing.T) {
	if os.Getenv(fipsChild) == "" {
		return // the parent is TestFIPS
	}
	if !FIPS() || fips140.Enforced() != (os.Getenv(fipsChild) == "only") {
		t.Fatal("the mode is not on")
	}
	fipsRefusal := func(what string, err error) {
		t.Helper()
		if kms.CodeOf(err) != kms.CodeUnsupported || !strings.HasSuffix(err.Error(), " is not available in FIPS mode.") {
			t.Errorf("%s: %v", what, err)
		}
	}
	checked, refused := 0, 0
	for spec, plain := range fixedMaterial(t) {
		if !AllowedFIPS(spec) {
			_, err := Generate(spec)
			fipsRefusal("generate "+string(spec), err)
			_, err = Open(spec, plain)
			fipsRefusal("open "+string(spec), err)
			_, err = ParseImport(spec, plain)
			fipsRefusal("import "+string(spec), err)
			refused++
			continue
		}
		k := opened(t, spec, plain)
		for _, o := range operations(k) {
			err := o.run()
			if strings.HasSuffix(o.name, "RSAES_OAEP_SHA_1") && o.has {
				var refusal *kms.Error
				if !errors.As(err, &refusal) {
					t.Errorf("%s: %v", o.name, err)
				} else {
					fipsRefusal(o.name, refusal)
				}
			} else if o.has && err != nil {
				t.Errorf("%s of %s: %v", o.name, spec, err)
			}
		}
		if _, err := k.PublicKey(); err != nil && kms.CodeOf(err) != kms.CodeUnsupported {
			t.Errorf("public key of %s: %v", spec, err)
		}
		if spec != kms.RSA3072 && spec != kms.RSA4096 {
			if _, err := Generate(spec); err != nil {
				t.Errorf("generate %s: %v", spec, err)
			}
		}
		checked++
	}
	for _, spec := range []kms.KeySpec{kms.ECCSECGP256K1, kms.MLKEM512} {
		_, err := GeneratePair(spec)
		fipsRefusal("pair of "+string(spec), err)
	}
	for _, g := range goldenImports(t) {
		for _, c := range g.Cases {
			got, err := Unwrap(c.Algorithm, g.Private, c.Wrapped)
			if strings.HasSuffix(string(c.Algorithm), "_SHA_1") {
				fipsRefusal(string(c.Algorithm), err)
			} else if err != nil || !bytes.Equal(got, c.Plain) {
				t.Errorf("%s: %v", c.Algorithm, err)
			}
		}
	}
	t.Logf("checked %d specs and refused %d", checked, refused)
}
