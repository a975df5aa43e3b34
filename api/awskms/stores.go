package awskms

import "github.com/lockstep-kms/lockstep/kms"

type (
	storeType       string
	xksConnectivity string
)

func errKeyStores() error {
	return kms.Errorf(kms.CodeUnsupported, "Key stores outside the cluster are not served.")
}
