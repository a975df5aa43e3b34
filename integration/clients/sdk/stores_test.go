package sdk

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// storeCases are the operations on key stores outside the cluster: there are none, and none can be made.
var storeCases = map[string]func(*testing.T, *kms.Client){
	"DescribeCustomKeyStores": func(t *testing.T, c *kms.Client) {
		out := call(t, c.DescribeCustomKeyStores, &kms.DescribeCustomKeyStoresInput{Limit: aws.Int32(1000)})
		if out.CustomKeyStores == nil || len(out.CustomKeyStores) != 0 || out.Truncated || out.NextMarker != nil {
			t.Errorf("the key stores are %+v", out)
		}
	},
	"CreateCustomKeyStore": func(t *testing.T, c *kms.Client) {
		refused[*types.UnsupportedOperationException](t, c.CreateCustomKeyStore, &kms.CreateCustomKeyStoreInput{CustomKeyStoreName: aws.String("store")}, anything)
	},
	"UpdateCustomKeyStore": func(t *testing.T, c *kms.Client) {
		refused[*types.UnsupportedOperationException](t, c.UpdateCustomKeyStore, &kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: aws.String("cks-1")}, anything)
	},
	"DeleteCustomKeyStore": func(t *testing.T, c *kms.Client) {
		refused[*types.UnsupportedOperationException](t, c.DeleteCustomKeyStore, &kms.DeleteCustomKeyStoreInput{CustomKeyStoreId: aws.String("cks-1")}, anything)
	},
	"ConnectCustomKeyStore": func(t *testing.T, c *kms.Client) {
		refused[*types.UnsupportedOperationException](t, c.ConnectCustomKeyStore, &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: aws.String("cks-1")}, anything)
	},
	"DisconnectCustomKeyStore": func(t *testing.T, c *kms.Client) {
		refused[*types.UnsupportedOperationException](t, c.DisconnectCustomKeyStore, &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: aws.String("cks-1")}, anything)
	},
}
