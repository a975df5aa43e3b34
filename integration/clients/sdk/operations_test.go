package sdk

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// operations returns the names of the operations that the SDK's client has.
func operations() []string {
	var all []string
	c := reflect.TypeFor[*kms.Client]()
	for i := range c.NumMethod() {
		if m := c.Method(i); m.Type.NumIn() == 4 && m.Type.In(1) == reflect.TypeFor[context.Context]() {
			all = append(all, m.Name)
		}
	}
	return all
}

// cases do each operation as it is meant to be done, and check every member of its answer.
var cases = []map[string]func(*testing.T, *kms.Client){keyCases, aliasCases, rotationCases, importCases, grantCases, cryptoCases, signCases, storeCases}

// neverAnswered are the members of golden answers that this product does not give, and why: of one operation, or of all
// that have them.
var neverAnswered = map[string]string{
	"CiphertextForRecipient":             "delivery to enclaves is refused",
	"KeyMetadata.CustomKeyStoreId":       "keys have their material in the cluster",
	"KeyMetadata.CloudHsmClusterId":      "keys have their material in the cluster",
	"KeyMetadata.XksKeyConfiguration":    "keys have their material in the cluster",
	"KeyMetadata.XksKeyConfiguration.Id": "keys have their material in the cluster",
	"OnDemandRotationStartDate":          "a rotation is done when it is answered",
	"Grants[].GranteeServicePrincipal":   "there are no services of AWS",
	"Grants[].RetiringServicePrincipal":  "there are no services of AWS",
	"Grants[].Constraints.SourceArn":     "there are no services of AWS",

	"ListKeyPolicies NextMarker": "a key has one policy",

	"CreateKey KeyMetadata.DeletionDate":                                  "a new key is not pending deletion",
	"CreateKey KeyMetadata.PendingDeletionWindowInDays":                   "a new key is not pending deletion",
	"CreateKey KeyMetadata.ValidTo":                                       "a new key has no imported material",
	"CreateKey KeyMetadata.ExpirationModel":                               "a new key has no imported material",
	"CreateKey KeyMetadata.MultiRegionConfiguration.ReplicaKeys[]":        "a new key has no replicas",
	"CreateKey KeyMetadata.MultiRegionConfiguration.ReplicaKeys[].Arn":    "a new key has no replicas",
	"CreateKey KeyMetadata.MultiRegionConfiguration.ReplicaKeys[].Region": "a new key has no replicas",

	"ReplicateKey KeyMetadata.DeletionDate":                "a new key is not pending deletion",
	"ReplicateKey KeyMetadata.PendingDeletionWindowInDays": "a new key is not pending deletion",
	"ReplicateKey KeyMetadata.ValidTo":                     "a new key has no imported material",
	"ReplicateKey KeyMetadata.ExpirationModel":             "a new key has no imported material",
}

func isAnswered(operation, path string) bool {
	path = strings.TrimPrefix(path, "Replica") // ReplicateKey's ReplicaKeyMetadata is KeyMetadata
	return neverAnswered[path] == "" && neverAnswered[operation+" "+path] == ""
}

// TestOperations does every operation of the SDK's client, and holds the answers against the SDK's golden ones: no
// operation is without a case, and no member of a golden answer without having been answered.
func TestOperations(t *testing.T) {
	all, answered := map[string]func(*testing.T, *kms.Client){}, map[string]map[string]bool{}
	for _, some := range cases {
		maps.Copy(all, some)
	}
	for name := range all {
		if !slices.Contains(operations(), name) {
			t.Errorf("the client has no operation %s", name)
		}
	}
	recorders := make(chan *recorder, len(operations()))
	t.Run("each", func(t *testing.T) {
		for _, name := range operations() {
			do := all[name]
			if do == nil {
				t.Errorf("%s has no case", name)
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c, rec := client(t)
				do(t, c)
				if !rec.answered(name) && (storeCases[name] == nil || name == "DescribeCustomKeyStores") {
					t.Errorf("the case does not do %s", name)
				}
				recorders <- rec
			})
		}
	})
	close(recorders)
	if t.Failed() || len(recorders) < len(operations()) {
		return // a case did not get to its end, or was not asked for: what it would have answered is not known
	}
	for rec := range recorders {
		for operation, members := range rec.seen {
			if answered[operation] == nil {
				answered[operation] = map[string]bool{}
			}
			maps.Copy(answered[operation], members)
		}
	}
	for operation, members := range goldenResponses(t) {
		if storeCases[operation] != nil {
			continue
		}
		for path := range members {
			if answered[operation][path] != isAnswered(operation, path) {
				t.Errorf("%s: %s was answered: %v", operation, path, answered[operation][path])
			}
		}
	}
}
