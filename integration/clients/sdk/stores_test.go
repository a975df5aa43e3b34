package sdk

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// storeCases are the operations on key stores outside the cluster: there are none, and none can be made. What is wrong with a
// request is said first, as AWS KMS says it.
var storeCases = map[string]func(*testing.T, *kms.Client){
	"DescribeCustomKeyStores": func(t *testing.T, c *kms.Client) {
		out := call(t, c.DescribeCustomKeyStores, &kms.DescribeCustomKeyStoresInput{Limit: aws.Int32(1000)})
		if out.CustomKeyStores == nil || len(out.CustomKeyStores) != 0 || out.Truncated || out.NextMarker != nil {
			t.Errorf("the key stores are %+v", out)
		}
		refusedAs(t, "ValidationException", c.DescribeCustomKeyStores, &kms.DescribeCustomKeyStoresInput{Limit: aws.Int32(1001)}, one+"Value '1001' at 'limit'"+atMost+"1000")
	},
	"CreateCustomKeyStore": func(t *testing.T, c *kms.Client) {
		q := kms.CreateCustomKeyStoreInput{CustomKeyStoreName: aws.String("store"), CustomKeyStoreType: types.CustomKeyStoreTypeExternalKeyStore,
			XksProxyConnectivity: types.XksProxyConnectivityTypePublicEndpoint, XksProxyUriEndpoint: aws.String("https://proxy.example.com"), XksProxyUriPath: aws.String("/kms/xks/v1"),
			XksProxyAuthenticationCredential: &types.XksProxyAuthenticationCredentialType{AccessKeyId: aws.String("ABCDEFGHIJKLMNOPQRST"), RawSecretAccessKey: repeat("s", 43)}}
		refused[*types.UnsupportedOperationException](t, c.CreateCustomKeyStore, &q, anything)
		q.XksProxyUriEndpoint = aws.String("http://proxy.example.com")
		refusedAs(t, "ValidationException", c.CreateCustomKeyStore, &q, one+"Value 'http://proxy.example.com' at 'xksProxyUriEndpoint' failed to satisfy constraint: Member must satisfy regular expression pattern: ^https://[a-zA-Z0-9.-]+$")
	},
	"UpdateCustomKeyStore": func(t *testing.T, c *kms.Client) {
		refusesStore(t, c.UpdateCustomKeyStore, func(id *string) *kms.UpdateCustomKeyStoreInput {
			return &kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: id, NewCustomKeyStoreName: aws.String("other")}
		})
	},
	"DeleteCustomKeyStore": func(t *testing.T, c *kms.Client) {
		refusesStore(t, c.DeleteCustomKeyStore, func(id *string) *kms.DeleteCustomKeyStoreInput {
			return &kms.DeleteCustomKeyStoreInput{CustomKeyStoreId: id}
		})
	},
	"ConnectCustomKeyStore": func(t *testing.T, c *kms.Client) {
		refusesStore(t, c.ConnectCustomKeyStore, func(id *string) *kms.ConnectCustomKeyStoreInput {
			return &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: id}
		})
	},
	"DisconnectCustomKeyStore": func(t *testing.T, c *kms.Client) {
		refusesStore(t, c.DisconnectCustomKeyStore, func(id *string) *kms.DisconnectCustomKeyStoreInput {
			return &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: id}
		})
	},
}

func refusesStore[I, O any](t *testing.T, do operation[I, O], in func(id *string) *I) {
	t.Helper()
	refused[*types.UnsupportedOperationException](t, do, in(aws.String("cks-1234567890abcdef0")), anything)
	refusedAs(t, "ValidationException", do, in(repeat("x", 65)), one+"Value '"+*repeat("x", 65)+"' at 'customKeyStoreId'"+longer+"64")
}
