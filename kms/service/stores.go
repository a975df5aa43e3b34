package service

import (
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/kms"
)

// Key stores outside the cluster are AWS KMS's; none is served. Who may ask is told so, whatever store the request
// names: there is no list that could tell one from another. Nothing is proposed.

func storeUses(all map[*kms.Operation]*use) {
	all[kms.OpCreateCustomKeyStore] = reading(checkCreateStore, refuseStore)
	all[kms.OpUpdateCustomKeyStore] = reading(checkUpdateStore, refuseStore)
	all[kms.OpDeleteCustomKeyStore] = reading(checkStore, refuseStore)
	all[kms.OpConnectCustomKeyStore] = reading(checkStore, refuseStore)
	all[kms.OpDisconnectCustomKeyStore] = reading(checkStore, refuseStore)
	all[kms.OpDescribeCustomKeyStores] = reading(checkDescribeStores, describeStores)
}

// errStores is the refusal of what would need a key store outside the cluster.
func errStores(instead string) error {
	return kms.Errorf(kms.CodeUnsupported, "Key stores outside the cluster are not served: %s.", instead)
}

// refuseStore answers whoever may ask.
func refuseStore[Q any](r *request, _ *Q) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	return nil, errStores("keys are made and kept by the cluster itself")
}

// member is how long a member of a request may be, in characters, so that it can be recorded. What exactly AWS KMS
// takes is for the door of its clients to say: what is right is refused all the same.
type member int

// No member that is recorded is longer at AWS KMS.
const (
	storeText member = 256
	storeID          = storeText
	xksKey           = storeText
)

// check refuses what is not such a member; nothing is one that was not given.
func (m member) check(field, s string) error {
	switch {
	case !utf8.ValidString(s):
		return kms.Errorf(kms.CodeInvalidRequest, "The member %s is not valid UTF-8.", field)
	case utf8.RuneCountInString(s) > int(m):
		return constraint(field, "Member must have length less than or equal to %d", m)
	}
	return nil
}

// need is check of a member that has to be given.
func (m member) need(field, s string) error {
	if s == "" {
		return constraint(field, "Member must not be null")
	}
	return m.check(field, s)
}

func checkCreateStore(r *request, q *kms.CreateCustomKeyStoreRequest) error {
	if err := storeText.need("customKeyStoreName", q.CustomKeyStoreName); err != nil {
		return err
	}
	r.note("customKeyStoreName", q.CustomKeyStoreName)
	return r.noteBackend(q)
}

func checkUpdateStore(r *request, q *kms.UpdateCustomKeyStoreRequest) error {
	err := firstOf(
		storeID.need("customKeyStoreId", q.CustomKeyStoreID),
		storeText.check("newCustomKeyStoreName", q.NewCustomKeyStoreName),
	)
	if err != nil {
		return err
	}
	r.note("customKeyStoreId", q.CustomKeyStoreID)
	r.note("newCustomKeyStoreName", q.NewCustomKeyStoreName)
	return r.noteBackend(&kms.CreateCustomKeyStoreRequest{
		CloudHsmClusterID:   q.CloudHsmClusterID,
		XksProxyUriEndpoint: q.XksProxyUriEndpoint, XksProxyUriPath: q.XksProxyUriPath, XksProxyConnectivity: q.XksProxyConnectivity,
		XksProxyVpcEndpointServiceName: q.XksProxyVpcEndpointServiceName, XksProxyVpcEndpointServiceOwner: q.XksProxyVpcEndpointServiceOwner,
		XksProxyAuthenticationCredential: q.XksProxyAuthenticationCredential,
	})
}

// noteBackend checks and records what a request says of where a key store would keep its keys. The certificate and the
// secrets are not recorded.
func (r *request) noteBackend(q *kms.CreateCustomKeyStoreRequest) error {
	if c := q.XksProxyAuthenticationCredential; c != nil {
		if err := firstOf(storeText.need("xksProxyAuthenticationCredential.accessKeyId", string(c.AccessKeyID)),
			storeText.need("xksProxyAuthenticationCredential.rawSecretAccessKey", string(c.RawSecretAccessKey))); err != nil {
			return err
		}
	}
	for _, m := range []struct{ name, value string }{
		{"customKeyStoreType", string(q.CustomKeyStoreType)},
		{"cloudHsmClusterId", q.CloudHsmClusterID},
		{"xksProxyUriEndpoint", q.XksProxyUriEndpoint},
		{"xksProxyUriPath", q.XksProxyUriPath},
		{"xksProxyVpcEndpointServiceName", q.XksProxyVpcEndpointServiceName},
		{"xksProxyVpcEndpointServiceOwner", q.XksProxyVpcEndpointServiceOwner},
		{"xksProxyConnectivity", string(q.XksProxyConnectivity)},
	} {
		if err := storeText.check(m.name, m.value); err != nil {
			return err
		}
		r.note(m.name, m.value)
	}
	return nil
}

func checkStore(r *request, q *kms.CustomKeyStoreRequest) error {
	if err := storeID.need("customKeyStoreId", q.CustomKeyStoreID); err != nil {
		return err
	}
	r.note("customKeyStoreId", q.CustomKeyStoreID)
	return nil
}

func checkDescribeStores(r *request, q *kms.DescribeCustomKeyStoresRequest) error {
	err := firstOf(
		storeID.check("customKeyStoreId", q.CustomKeyStoreID),
		storeText.check("customKeyStoreName", q.CustomKeyStoreName),
		checkLimit(q.Limit, 1000),
	)
	switch {
	case err != nil:
		return err
	case q.CustomKeyStoreID != "" && q.CustomKeyStoreName != "":
		return kms.Errorf(kms.CodeValidation, "A key store is named by CustomKeyStoreId or by CustomKeyStoreName, not by both.")
	}
	r.note("customKeyStoreId", q.CustomKeyStoreID)
	r.note("customKeyStoreName", q.CustomKeyStoreName)
	r.notePage(q.Limit, q.Marker)
	return nil
}

// describeStores lists the key stores that there are: none.
func describeStores(r *request, q *kms.DescribeCustomKeyStoresRequest) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	if name := q.CustomKeyStoreID + q.CustomKeyStoreName; name != "" { // one of the two is empty
		return nil, kms.Errorf(kms.CodeCustomKeyStoreNotFound, "The key store %s does not exist.", kms.Printable(name))
	}
	if _, err := r.after(q.Marker); err != nil {
		return nil, err
	}
	return &kms.DescribeCustomKeyStoresAnswer{CustomKeyStores: []kms.CustomKeyStoreEntry{}}, nil
}
