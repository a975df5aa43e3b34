package sdk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m) }

const (
	home = "us-east-1" // the regions that the cluster serves
	away = "eu-west-1"
)

// client returns the SDK's client of the cluster, as the root of the operator account in the region home, whose answers
// are all held against the SDK's golden documents. A busy machine makes it try longer than by default.
func client(t *testing.T, options ...func(*kms.Options)) (*kms.Client, *recorder) {
	t.Helper()
	rec := &recorder{t: t, http: http.DefaultClient, golden: goldenResponses(t), seen: map[string]map[string]bool{}}
	patient := func(o *kms.Options) {
		o.HTTPClient = rec
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff, o.RateLimiter = 20, time.Second/4, nothingLimits{}
			o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(notLimits)}, o.Retryables...)
		})
	}
	cfg := cluster.Get(t).Config(t)
	return kms.NewFromConfig(cfg, append([]func(*kms.Options){patient}, options...)...), rec
}

// notLimits keeps the SDK from its habit to try again what exceeds a limit.
func notLimits(err error) aws.Ternary {
	if e := (*types.LimitExceededException)(nil); errors.As(err, &e) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

// nothingLimits lets every retry through.
type nothingLimits struct{}

func (nothingLimits) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (nothingLimits) AddTokens(uint) error { return nil }

func in(region string) func(*kms.Options) { return func(o *kms.Options) { o.Region = region } }

// operation is a method of the client.
type operation[I, O any] = func(context.Context, *I, ...func(*kms.Options)) (*O, error)

// call does what must succeed.
func call[I, O any](t *testing.T, do operation[I, O], in *I) *O {
	t.Helper()
	out, err := do(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// refused does what must be refused with a modelled error. Its message is compared unless it is anything.
func refused[E smithy.APIError, I, O any](t *testing.T, do operation[I, O], in *I, message string) {
	t.Helper()
	_, err := do(t.Context(), in)
	var want E
	if !errors.As(err, &want) {
		t.Errorf("got %v, want %T", err, want)
		return
	}
	compareMessage(t, want, message)
}

// refusedAs does what must be refused with an error that the SDK's model does not have.
func refusedAs[I, O any](t *testing.T, code string, do operation[I, O], in *I, message string) {
	t.Helper()
	_, err := do(t.Context(), in)
	var got smithy.APIError
	if !errors.As(err, &got) || got.ErrorCode() != code {
		t.Errorf("got %v, want %s", err, code)
		return
	}
	compareMessage(t, got, message)
}

const anything = "*"

func compareMessage(t *testing.T, err smithy.APIError, message string) {
	t.Helper()
	if message != anything && err.ErrorMessage() != message {
		t.Errorf("%s says %q, want %q", err.ErrorCode(), err.ErrorMessage(), message)
	}
}

// equal compares a whole value.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

// recent checks a time that the cluster took just now, on this machine's clock but rounded to milliseconds.
func recent(t *testing.T, what string, at *time.Time) {
	t.Helper()
	if at == nil || time.Since(*at).Abs() > time.Hour {
		t.Errorf("%s: %v is not about now", what, at)
	}
}

// newKey makes a symmetric key, or what edit makes of it.
func newKey(t *testing.T, c *kms.Client, edit ...func(*kms.CreateKeyInput)) *types.KeyMetadata {
	t.Helper()
	var q kms.CreateKeyInput
	for _, e := range edit {
		e(&q)
	}
	return call(t, c.CreateKey, &q).KeyMetadata
}

func spec(s types.KeySpec, u types.KeyUsageType) func(*kms.CreateKeyInput) {
	return func(q *kms.CreateKeyInput) { q.KeySpec, q.KeyUsage = s, u }
}

func external(q *kms.CreateKeyInput)    { q.Origin = types.OriginTypeExternal }
func multiRegion(q *kms.CreateKeyInput) { q.MultiRegion = aws.Bool(true) }

// newAlias names a key and returns the name.
func newAlias(t *testing.T, c *kms.Client, key *types.KeyMetadata) string {
	t.Helper()
	name := "alias/" + unique()
	call(t, c.CreateAlias, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: key.KeyId})
	return name
}

// unique returns a word that nobody used.
func unique() string { return strings.ToLower(rand.Text()) }

// noKey returns a well-formed key id that no key has.
func noKey() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func keyARN(region, account, id string) string {
	return fmt.Sprintf("arn:aws:kms:%s:%s:key/%s", region, account, id)
}

func account(t *testing.T) string { return cluster.Get(t).Account }

func root(t *testing.T) string { return "arn:aws:iam::" + account(t) + ":root" }

func repeat(s string, n int) *string { return aws.String(strings.Repeat(s, n)) }
