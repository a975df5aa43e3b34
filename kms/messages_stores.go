package kms

import "time"

// CustomKeyStoreType says what keeps the keys of a key store outside the cluster.
type CustomKeyStoreType string

// CustomKeyStoreTypes lists every type of AWS KMS; the first one is the default.
var CustomKeyStoreTypes = []CustomKeyStoreType{"AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"}

// XksProxyConnectivity says how an external key store proxy is reached.
type XksProxyConnectivity string

// XksProxyConnectivities lists every way of AWS KMS.
var XksProxyConnectivities = []XksProxyConnectivity{"PUBLIC_ENDPOINT", "VPC_ENDPOINT_SERVICE"}

// ConnectionState says whether a key store is connected.
type ConnectionState string

// ConnectionStates lists every state of AWS KMS.
var ConnectionStates = []ConnectionState{"CONNECTED", "CONNECTING", "FAILED", "DISCONNECTED", "DISCONNECTING"}

// Requests and answers about key stores outside the cluster, as AWS KMS has them. None is served: no answer but the
// empty listing is ever given. Source: the API reference of AWS KMS, CreateCustomKeyStore and those after it.
type (
	// XksProxyAuthenticationCredential is what requests to an external key store proxy are signed with.
	XksProxyAuthenticationCredential struct {
		AccessKeyID        SensitiveString `json:"access_key_id"`
		RawSecretAccessKey SensitiveString `json:"raw_secret_access_key"`
	}

	// CreateCustomKeyStoreRequest asks for a key store in a CloudHSM cluster, by default, or behind a proxy (Xks...).
	CreateCustomKeyStoreRequest struct {
		CustomKeyStoreName               string                            `json:"custom_key_store_name"`
		CustomKeyStoreType               CustomKeyStoreType                `json:"custom_key_store_type,omitempty"`
		CloudHsmClusterID                string                            `json:"cloud_hsm_cluster_id,omitempty"`
		TrustAnchorCertificate           string                            `json:"trust_anchor_certificate,omitempty"` // PEM
		KeyStorePassword                 SensitiveString                   `json:"key_store_password,omitempty"`
		XksProxyUriEndpoint              string                            `json:"xks_proxy_uri_endpoint,omitempty"`
		XksProxyUriPath                  string                            `json:"xks_proxy_uri_path,omitempty"`
		XksProxyVpcEndpointServiceName   string                            `json:"xks_proxy_vpc_endpoint_service_name,omitempty"`
		XksProxyVpcEndpointServiceOwner  string                            `json:"xks_proxy_vpc_endpoint_service_owner,omitempty"`
		XksProxyAuthenticationCredential *XksProxyAuthenticationCredential `json:"xks_proxy_authentication_credential,omitempty"`
		XksProxyConnectivity             XksProxyConnectivity              `json:"xks_proxy_connectivity,omitempty"`
	}

	// CreateCustomKeyStoreAnswer names the new key store.
	CreateCustomKeyStoreAnswer struct {
		CustomKeyStoreID string `json:"custom_key_store_id"`
	}

	// UpdateCustomKeyStoreRequest changes what is given of a key store.
	UpdateCustomKeyStoreRequest struct {
		CustomKeyStoreID                 string                            `json:"-" path:"store"`
		NewCustomKeyStoreName            string                            `json:"new_custom_key_store_name,omitempty"`
		CloudHsmClusterID                string                            `json:"cloud_hsm_cluster_id,omitempty"`
		KeyStorePassword                 SensitiveString                   `json:"key_store_password,omitempty"`
		XksProxyUriEndpoint              string                            `json:"xks_proxy_uri_endpoint,omitempty"`
		XksProxyUriPath                  string                            `json:"xks_proxy_uri_path,omitempty"`
		XksProxyVpcEndpointServiceName   string                            `json:"xks_proxy_vpc_endpoint_service_name,omitempty"`
		XksProxyVpcEndpointServiceOwner  string                            `json:"xks_proxy_vpc_endpoint_service_owner,omitempty"`
		XksProxyAuthenticationCredential *XksProxyAuthenticationCredential `json:"xks_proxy_authentication_credential,omitempty"`
		XksProxyConnectivity             XksProxyConnectivity              `json:"xks_proxy_connectivity,omitempty"`
	}

	// CustomKeyStoreRequest names one key store.
	CustomKeyStoreRequest struct {
		CustomKeyStoreID string `json:"-" path:"store"`
	}

	// DescribeCustomKeyStoresRequest pages through the key stores of the account and region, or asks for one by its id or
	// its name.
	DescribeCustomKeyStoresRequest struct {
		CustomKeyStoreID   string `json:"-" query:"custom_key_store_id"`
		CustomKeyStoreName string `json:"-" query:"custom_key_store_name"`
		Limit              int    `json:"-" query:"limit"`
		Marker             string `json:"-" query:"marker"`
	}

	// XksProxyConfiguration says how an external key store proxy is reached.
	XksProxyConfiguration struct {
		Connectivity            XksProxyConnectivity `json:"connectivity"`
		AccessKeyID             SensitiveString      `json:"access_key_id"`
		UriEndpoint             string               `json:"uri_endpoint"`
		UriPath                 string               `json:"uri_path"`
		VpcEndpointServiceName  string               `json:"vpc_endpoint_service_name,omitempty"`
		VpcEndpointServiceOwner string               `json:"vpc_endpoint_service_owner,omitempty"`
	}

	// CustomKeyStoreEntry is one key store of a listing.
	CustomKeyStoreEntry struct {
		CustomKeyStoreID       string                 `json:"custom_key_store_id"`
		CustomKeyStoreName     string                 `json:"custom_key_store_name"`
		CustomKeyStoreType     CustomKeyStoreType     `json:"custom_key_store_type"`
		ConnectionState        ConnectionState        `json:"connection_state"`
		ConnectionErrorCode    string                 `json:"connection_error_code,omitempty"`
		CreationDate           time.Time              `json:"creation_date"`
		CloudHsmClusterID      string                 `json:"cloud_hsm_cluster_id,omitempty"`
		TrustAnchorCertificate string                 `json:"trust_anchor_certificate,omitempty"`
		XksProxyConfiguration  *XksProxyConfiguration `json:"xks_proxy_configuration,omitempty"`
	}

	// DescribeCustomKeyStoresAnswer is one page of key stores. In this release it is empty.
	DescribeCustomKeyStoresAnswer struct {
		CustomKeyStores []CustomKeyStoreEntry `json:"custom_key_stores"`
		NextMarker      string                `json:"next_marker,omitempty"`
	}
)
