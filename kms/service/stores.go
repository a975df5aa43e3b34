package service

import (
	"regexp"
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

// member is what AWS KMS takes for a member of a request that is text, in characters.
type member struct {
	shortest, longest int
	pattern           *regexp.Regexp // of all of it; nil: any
}

// The members of the requests, as the API reference of AWS KMS has them.
var (
	storeID        = member{1, 64, nil}
	storeName      = member{1, 256, nil}
	hsmCluster     = member{19, 24, regexp.MustCompile(`cluster-[2-7a-zA-Z]{11,16}`)}
	hsmTrustAnchor = member{1, 5000, nil}
	hsmPassword    = member{7, 32, nil}
	xksEndpoint    = member{10, 128, regexp.MustCompile(`^https://[a-zA-Z0-9.-]+$`)}
	xksPath        = member{10, 128, regexp.MustCompile(`^(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})$|^(/kms/xks/v\d{1,2})$`)}
	xksService     = member{20, 64, regexp.MustCompile(`^(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}\d+\.vpce-svc-[0-9a-z]+$`)}
	xksOwner       = member{12, 12, regexp.MustCompile(`[0-9]{12}`)}
	xksAccessKey   = member{20, 30, regexp.MustCompile(`^[A-Z2-7]+$`)}
	xksSecret      = member{43, 64, regexp.MustCompile(`^[a-zA-Z0-9\/+=]+$`)}
	xksKey         = member{1, 128, regexp.MustCompile(`^[a-zA-Z0-9-_.]+$`)}
)

// check refuses what is not such a member; nothing is one that was not given.
func (m member) check(field, s string) error {
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		return nil
	case !utf8.ValidString(s):
		return kms.Errorf(kms.CodeInvalidRequest, "The member %s is not valid UTF-8.", field)
	case n < m.shortest:
		return constraint(field, "Member must have length greater than or equal to %d", m.shortest)
	case n > m.longest:
		return constraint(field, "Member must have length less than or equal to %d", m.longest)
	case m.pattern != nil && m.pattern.FindString(s) != s:
		return constraint(field, "Member must satisfy regular expression pattern: %s", m.pattern)
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
	if err := firstOf(storeName.need("customKeyStoreName", q.CustomKeyStoreName), r.checkBackend(q)); err != nil {
		return err
	}
	r.note("customKeyStoreName", q.CustomKeyStoreName)
	r.noteBackend(q)
	return nil
}

func checkUpdateStore(r *request, q *kms.UpdateCustomKeyStoreRequest) error {
	backend := &kms.CreateCustomKeyStoreRequest{
		CloudHsmClusterID: q.CloudHsmClusterID, KeyStorePassword: q.KeyStorePassword,
		XksProxyUriEndpoint: q.XksProxyUriEndpoint, XksProxyUriPath: q.XksProxyUriPath, XksProxyConnectivity: q.XksProxyConnectivity,
		XksProxyVpcEndpointServiceName: q.XksProxyVpcEndpointServiceName, XksProxyVpcEndpointServiceOwner: q.XksProxyVpcEndpointServiceOwner,
		XksProxyAuthenticationCredential: q.XksProxyAuthenticationCredential,
	}
	err := firstOf(
		storeID.need("customKeyStoreId", q.CustomKeyStoreID),
		storeName.check("newCustomKeyStoreName", q.NewCustomKeyStoreName),
		r.checkBackend(backend),
	)
	if err != nil {
		return err
	}
	r.note("customKeyStoreId", q.CustomKeyStoreID)
	r.note("newCustomKeyStoreName", q.NewCustomKeyStoreName)
	r.noteBackend(backend)
	return nil
}

// checkBackend looks at where a key store would keep its keys.
func (r *request) checkBackend(q *kms.CreateCustomKeyStoreRequest) error {
	err := firstOf(
		optional("customKeyStoreType", q.CustomKeyStoreType, kms.CustomKeyStoreTypes),
		hsmCluster.check("cloudHsmClusterId", q.CloudHsmClusterID),
		hsmTrustAnchor.check("trustAnchorCertificate", q.TrustAnchorCertificate),
		hsmPassword.check("keyStorePassword", string(q.KeyStorePassword)),
		xksEndpoint.check("xksProxyUriEndpoint", q.XksProxyUriEndpoint),
		xksPath.check("xksProxyUriPath", q.XksProxyUriPath),
		xksService.check("xksProxyVpcEndpointServiceName", q.XksProxyVpcEndpointServiceName),
		xksOwner.check("xksProxyVpcEndpointServiceOwner", q.XksProxyVpcEndpointServiceOwner),
		optional("xksProxyConnectivity", q.XksProxyConnectivity, kms.XksProxyConnectivities),
	)
	if c := q.XksProxyAuthenticationCredential; err == nil && c != nil {
		err = firstOf(
			xksAccessKey.need("xksProxyAuthenticationCredential.accessKeyId", string(c.AccessKeyID)),
			xksSecret.need("xksProxyAuthenticationCredential.rawSecretAccessKey", string(c.RawSecretAccessKey)),
		)
	}
	return err
}

// noteBackend records what a request says of a key store, the credentials left out.
func (r *request) noteBackend(q *kms.CreateCustomKeyStoreRequest) {
	r.note("customKeyStoreType", string(q.CustomKeyStoreType))
	r.note("cloudHsmClusterId", q.CloudHsmClusterID)
	r.note("xksProxyUriEndpoint", q.XksProxyUriEndpoint)
	r.note("xksProxyUriPath", q.XksProxyUriPath)
	r.note("xksProxyVpcEndpointServiceName", q.XksProxyVpcEndpointServiceName)
	r.note("xksProxyVpcEndpointServiceOwner", q.XksProxyVpcEndpointServiceOwner)
	r.note("xksProxyConnectivity", string(q.XksProxyConnectivity))
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
		storeName.check("customKeyStoreName", q.CustomKeyStoreName),
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
