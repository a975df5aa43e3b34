// Package terraform makes the calls that the Terraform AWS provider makes for its aws_kms_* resources and data sources:
// the same operations in the same order, with the SDK and the libraries of HashiCorp that the provider is built from, and
// tells answers apart as the provider does, by the types of errors and by words in their messages.
//
// It is stricter in one thing. After a change the provider polls until it has read the new value up to 15 times in a row,
// because AWS KMS is eventually consistent. Here the very first read has to show it, on whichever node it lands.
package terraform

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/hashicorp/aws-sdk-go-base/v2/tfawserr"
	awspolicy "github.com/hashicorp/awspolicyequivalence"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// errNotFound is what the provider makes of everything that it takes out of its state.
var errNotFound = errors.New("not found")

// provider is the configured provider of one region.
type provider struct {
	*testing.T
	ctx    context.Context
	c      *cluster.Cluster
	region string
	kms    *kms.Client
	iam    *iam.Client
}

func newProvider(t *testing.T) *provider { return providerIn(t, cluster.Get(t).Region) }

func providerIn(t *testing.T, region string) *provider {
	t.Helper()
	c := cluster.Get(t)
	cfg := c.Config(t)
	cfg.Region = region
	return &provider{t, t.Context(), c, region, kms.NewFromConfig(cfg), iam.NewFromConfig(cfg)}
}

// of is the same provider in a subtest.
func (p *provider) of(t *testing.T) *provider {
	q := *p
	q.T, q.ctx = t, t.Context()
	return &q
}

func (p *provider) check(what string, err error) {
	p.Helper()
	if err != nil {
		p.Fatalf("%s: %v", what, err)
	}
}

// is reports whether err is an exception of the type, as the SDK reads it from the answer.
func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// unique returns a name that nothing else has.
func unique(prefix string) string {
	raw := make([]byte, 6)
	rand.Read(raw)
	return prefix + hex.EncodeToString(raw)
}

// notFound turns the exception into the provider's own error.
func notFound(err error) error {
	if is[*types.NotFoundException](err) {
		return errNotFound
	}
	return err
}

// findKey describes a key; one that waits for its deletion is gone, as the provider sees it.
func (p *provider) findKey(id string) (*types.KeyMetadata, error) {
	out, err := p.kms.DescribeKey(p.ctx, &kms.DescribeKeyInput{KeyId: &id})
	if err != nil {
		return nil, notFound(err)
	}
	if s := out.KeyMetadata.KeyState; s == types.KeyStatePendingDeletion || s == types.KeyStatePendingReplicaDeletion {
		return nil, errNotFound
	}
	return out.KeyMetadata, nil
}

func (p *provider) findPolicy(id string) (string, error) {
	out, err := p.kms.GetKeyPolicy(p.ctx, &kms.GetKeyPolicyInput{KeyId: &id, PolicyName: aws.String("default")})
	if err != nil {
		return "", notFound(err)
	}
	return aws.ToString(out.Policy), nil
}

func (p *provider) findRotation(id string) (bool, int32, error) {
	out, err := p.kms.GetKeyRotationStatus(p.ctx, &kms.GetKeyRotationStatusInput{KeyId: &id})
	if err != nil {
		return false, 0, notFound(err)
	}
	return out.KeyRotationEnabled, aws.ToInt32(out.RotationPeriodInDays), nil
}

func (p *provider) findTags(id string) (map[string]string, error) {
	tags := map[string]string{}
	pages := kms.NewListResourceTagsPaginator(p.kms, &kms.ListResourceTagsInput{KeyId: &id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(p.ctx)
		if tfawserr.ErrCodeEquals(err, "NotFoundException") {
			return nil, errNotFound
		}
		if err != nil {
			return nil, err
		}
		for _, t := range page.Tags {
			tags[aws.ToString(t.TagKey)] = aws.ToString(t.TagValue)
		}
	}
	return tags, nil
}

// keyInfo is all that the provider reads of a key.
type keyInfo struct {
	*types.KeyMetadata
	policy  string
	rotates bool
	period  int32
	tags    map[string]string
}

func (p *provider) findKeyInfo(id string) (k keyInfo, err error) {
	if k.KeyMetadata, err = p.findKey(id); err != nil {
		return k, err
	}
	if k.policy, err = p.findPolicy(id); err != nil {
		return k, err
	}
	if k.Origin == types.OriginTypeAwsKms {
		if k.rotates, k.period, err = p.findRotation(id); err != nil {
			return k, err
		}
	}
	k.tags, err = p.findTags(id)
	return k, err
}

// propagated is the provider's wait for a change: times reads in a row that show it.
func (p *provider) propagated(what string, times int, shows func() (bool, error)) {
	p.Helper()
	for i := range times {
		done, err := shows()
		if err != nil || !done {
			p.Fatalf("read %d of %s: %v, %v", i+1, what, done, err)
		}
	}
}

func (p *provider) waitDescription(id, description string) {
	p.Helper()
	p.propagated("the description", 5, func() (bool, error) {
		k, err := p.findKey(id)
		return err == nil && aws.ToString(k.Description) == description, err
	})
}

func (p *provider) waitEnabled(id string, enabled bool) {
	p.Helper()
	p.propagated("the state", 15, func() (bool, error) {
		k, err := p.findKey(id)
		return err == nil && k.Enabled == enabled, err
	})
}

func (p *provider) waitPolicy(id, policy string) {
	p.Helper()
	p.propagated("the policy", 5, func() (bool, error) {
		got, err := p.findPolicy(id)
		if err != nil {
			return false, err
		}
		return awspolicy.PoliciesAreEquivalent(got, policy)
	})
}

func (p *provider) waitRotation(id string, enabled bool, period int32) {
	p.Helper()
	p.propagated("the rotation", 5, func() (bool, error) {
		got, days, err := p.findRotation(id)
		return got == enabled && (period == 0 || days == 0 || days == period), err
	})
}

func (p *provider) waitTags(id string, tags map[string]string) {
	p.Helper()
	p.propagated("the tags", 5, func() (bool, error) {
		got, err := p.findTags(id)
		return maps.Equal(got, tags), err
	})
}

// waitDeleted is the end of a deletion: nothing but enabled and disabled may be read on the way to not found.
func (p *provider) waitDeleted(id string) {
	p.Helper()
	if k, err := p.findKey(id); err != errNotFound {
		p.Fatalf("after its deletion the key is %+v, %v", k, err)
	}
}

// deleteKey is the deletion of every kind of key. One that is gone or going is no error.
func (p *provider) deleteKey(id string, window int32) {
	p.Helper()
	in := &kms.ScheduleKeyDeletionInput{KeyId: &id}
	if window > 0 {
		in.PendingWindowInDays = &window
	}
	_, err := p.kms.ScheduleKeyDeletion(p.ctx, in)
	if is[*types.NotFoundException](err) {
		return
	}
	if is[*types.KMSInvalidStateException](err) && tfawserr.ErrMessageContains(err, "KMSInvalidStateException", "is pending deletion") {
		return
	}
	p.check("ScheduleKeyDeletion", err)
	p.waitDeleted(id)
}
