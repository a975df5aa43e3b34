package awskms

import "github.com/lockstep-kms/lockstep/kms"

// Shapes of key stores outside the cluster. None is served: of the answers only the empty listing is ever given.
type (
	xksCredential struct {
		AccessKeyID        *kms.SensitiveString `json:"AccessKeyId" aws:"XksAccessKey,required"`
		RawSecretAccessKey *kms.SensitiveString `json:"RawSecretAccessKey" aws:"XksSecret,required"`
	}

	createStoreInput struct {
		CustomKeyStoreName               string                   `json:"CustomKeyStoreName" aws:"StoreName,required"`
		CloudHsmClusterID                string                   `json:"CloudHsmClusterId" aws:"HsmCluster"`
		TrustAnchorCertificate           string                   `json:"TrustAnchorCertificate" aws:"TrustAnchor"`
		KeyStorePassword                 kms.SensitiveString      `json:"KeyStorePassword" aws:"StorePassword"`
		CustomKeyStoreType               kms.CustomKeyStoreType   `json:"CustomKeyStoreType"`
		XksProxyURIEndpoint              string                   `json:"XksProxyUriEndpoint" aws:"XksEndpoint"`
		XksProxyURIPath                  string                   `json:"XksProxyUriPath" aws:"XksPath"`
		XksProxyVpcEndpointServiceName   string                   `json:"XksProxyVpcEndpointServiceName" aws:"XksVpc"`
		XksProxyVpcEndpointServiceOwner  string                   `json:"XksProxyVpcEndpointServiceOwner" aws:"Account"`
		XksProxyAuthenticationCredential *xksCredential           `json:"XksProxyAuthenticationCredential"`
		XksProxyConnectivity             kms.XksProxyConnectivity `json:"XksProxyConnectivity"`
	}

	updateStoreInput struct {
		CustomKeyStoreID                 string                   `json:"CustomKeyStoreId" aws:"StoreID,required"`
		NewCustomKeyStoreName            string                   `json:"NewCustomKeyStoreName" aws:"StoreName"`
		KeyStorePassword                 kms.SensitiveString      `json:"KeyStorePassword" aws:"StorePassword"`
		CloudHsmClusterID                string                   `json:"CloudHsmClusterId" aws:"HsmCluster"`
		XksProxyURIEndpoint              string                   `json:"XksProxyUriEndpoint" aws:"XksEndpoint"`
		XksProxyURIPath                  string                   `json:"XksProxyUriPath" aws:"XksPath"`
		XksProxyVpcEndpointServiceName   string                   `json:"XksProxyVpcEndpointServiceName" aws:"XksVpc"`
		XksProxyVpcEndpointServiceOwner  string                   `json:"XksProxyVpcEndpointServiceOwner" aws:"Account"`
		XksProxyAuthenticationCredential *xksCredential           `json:"XksProxyAuthenticationCredential"`
		XksProxyConnectivity             kms.XksProxyConnectivity `json:"XksProxyConnectivity"`
	}

	storeInput struct {
		CustomKeyStoreID string `json:"CustomKeyStoreId" aws:"StoreID,required"`
	}

	storesInput struct {
		CustomKeyStoreID   string `json:"CustomKeyStoreId" aws:"StoreID"`
		CustomKeyStoreName string `json:"CustomKeyStoreName" aws:"StoreName"`
		Limit              *int   `json:"Limit" aws:"Page1000"`
		Marker             string `json:"Marker" aws:"Marker"`
	}

	storeOutput struct {
		CustomKeyStoreID string `json:"CustomKeyStoreId,omitempty"`
	}

	storesOutput struct {
		CustomKeyStores []storeEntry `json:"CustomKeyStores"`
		NextMarker      string       `json:"NextMarker,omitempty"`
		Truncated       bool         `json:"Truncated"`
	}

	storeEntry struct {
		CustomKeyStoreID       string                 `json:"CustomKeyStoreId,omitempty"`
		CustomKeyStoreName     string                 `json:"CustomKeyStoreName,omitempty"`
		CloudHsmClusterID      string                 `json:"CloudHsmClusterId,omitempty"`
		TrustAnchorCertificate string                 `json:"TrustAnchorCertificate,omitempty"`
		ConnectionState        kms.ConnectionState    `json:"ConnectionState,omitempty"`
		ConnectionErrorCode    string                 `json:"ConnectionErrorCode,omitempty"`
		CreationDate           epoch                  `json:"CreationDate,omitzero"`
		CustomKeyStoreType     kms.CustomKeyStoreType `json:"CustomKeyStoreType,omitempty"`
		XksProxyConfiguration  *xksConfiguration      `json:"XksProxyConfiguration,omitempty"`
	}

	xksConfiguration struct {
		Connectivity            kms.XksProxyConnectivity `json:"Connectivity,omitempty"`
		AccessKeyID             kms.SensitiveString      `json:"AccessKeyId,omitempty"`
		URIEndpoint             string                   `json:"UriEndpoint,omitempty"`
		URIPath                 string                   `json:"UriPath,omitempty"`
		VpcEndpointServiceName  string                   `json:"VpcEndpointServiceName,omitempty"`
		VpcEndpointServiceOwner string                   `json:"VpcEndpointServiceOwner,omitempty"`
	}
)

func storeActions() []*action {
	return []*action{
		bind(kms.OpCreateCustomKeyStore,
			func(in *createStoreInput) (*kms.CreateCustomKeyStoreRequest, error) {
				return &kms.CreateCustomKeyStoreRequest{CustomKeyStoreName: in.CustomKeyStoreName, CustomKeyStoreType: in.CustomKeyStoreType,
					CloudHsmClusterID: in.CloudHsmClusterID, TrustAnchorCertificate: in.TrustAnchorCertificate, KeyStorePassword: in.KeyStorePassword,
					XksProxyUriEndpoint: in.XksProxyURIEndpoint, XksProxyUriPath: in.XksProxyURIPath,
					XksProxyVpcEndpointServiceName: in.XksProxyVpcEndpointServiceName, XksProxyVpcEndpointServiceOwner: in.XksProxyVpcEndpointServiceOwner,
					XksProxyAuthenticationCredential: in.XksProxyAuthenticationCredential.request(), XksProxyConnectivity: in.XksProxyConnectivity}, nil
			},
			func(_ *kms.CreateCustomKeyStoreRequest, a *kms.CreateCustomKeyStoreAnswer) *storeOutput {
				return (*storeOutput)(a)
			}),
		bind(kms.OpUpdateCustomKeyStore,
			func(in *updateStoreInput) (*kms.UpdateCustomKeyStoreRequest, error) {
				return &kms.UpdateCustomKeyStoreRequest{CustomKeyStoreID: in.CustomKeyStoreID, NewCustomKeyStoreName: in.NewCustomKeyStoreName,
					CloudHsmClusterID: in.CloudHsmClusterID, KeyStorePassword: in.KeyStorePassword,
					XksProxyUriEndpoint: in.XksProxyURIEndpoint, XksProxyUriPath: in.XksProxyURIPath,
					XksProxyVpcEndpointServiceName: in.XksProxyVpcEndpointServiceName, XksProxyVpcEndpointServiceOwner: in.XksProxyVpcEndpointServiceOwner,
					XksProxyAuthenticationCredential: in.XksProxyAuthenticationCredential.request(), XksProxyConnectivity: in.XksProxyConnectivity}, nil
			}, nothing[kms.UpdateCustomKeyStoreRequest, kms.Empty]),
		bind(kms.OpDeleteCustomKeyStore, oneStore, nothing[kms.CustomKeyStoreRequest, kms.Empty]),
		bind(kms.OpConnectCustomKeyStore, oneStore, nothing[kms.CustomKeyStoreRequest, kms.Empty]),
		bind(kms.OpDisconnectCustomKeyStore, oneStore, nothing[kms.CustomKeyStoreRequest, kms.Empty]),
		bind(kms.OpDescribeCustomKeyStores,
			func(in *storesInput) (*kms.DescribeCustomKeyStoresRequest, error) {
				return &kms.DescribeCustomKeyStoresRequest{CustomKeyStoreID: in.CustomKeyStoreID, CustomKeyStoreName: in.CustomKeyStoreName,
					Limit: number(in.Limit), Marker: in.Marker}, nil
			},
			func(_ *kms.DescribeCustomKeyStoresRequest, a *kms.DescribeCustomKeyStoresAnswer) *storesOutput {
				return &storesOutput{CustomKeyStores: each(a.CustomKeyStores, keyStore), NextMarker: a.NextMarker, Truncated: a.NextMarker != ""}
			}),
	}
}

func oneStore(in *storeInput) (*kms.CustomKeyStoreRequest, error) {
	return &kms.CustomKeyStoreRequest{CustomKeyStoreID: in.CustomKeyStoreID}, nil
}

func (c *xksCredential) request() *kms.XksProxyAuthenticationCredential {
	if c == nil {
		return nil
	}
	return &kms.XksProxyAuthenticationCredential{AccessKeyID: *c.AccessKeyID, RawSecretAccessKey: *c.RawSecretAccessKey}
}

func keyStore(s kms.CustomKeyStoreEntry) storeEntry {
	e := storeEntry{CustomKeyStoreID: s.CustomKeyStoreID, CustomKeyStoreName: s.CustomKeyStoreName, CloudHsmClusterID: s.CloudHsmClusterID,
		TrustAnchorCertificate: s.TrustAnchorCertificate, ConnectionState: s.ConnectionState, ConnectionErrorCode: s.ConnectionErrorCode,
		CreationDate: at(s.CreationDate), CustomKeyStoreType: s.CustomKeyStoreType}
	if c := s.XksProxyConfiguration; c != nil {
		e.XksProxyConfiguration = &xksConfiguration{Connectivity: c.Connectivity, AccessKeyID: c.AccessKeyID, URIEndpoint: c.UriEndpoint, URIPath: c.UriPath,
			VpcEndpointServiceName: c.VpcEndpointServiceName, VpcEndpointServiceOwner: c.VpcEndpointServiceOwner}
	}
	return e
}
