package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

// post sends JSON to the REST door of a node and returns the answer.
func post(t *testing.T, c *cluster.Cluster, url, body string) map[string]any {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.SetBasicAuth(c.AccessKeyID, c.SecretAccessKey)
	q.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil && !errors.Is(err, io.EOF) || resp.StatusCode/100 != 2 {
		t.Fatalf("%s answered %d %v: %v", url, resp.StatusCode, answer, err)
	}
	return answer
}

// onCluster has a client talk to another cluster, or to one node, with the SDK's own retryer.
func onCluster(t *testing.T, c *cluster.Cluster, url string) func(*kms.Options) {
	cfg := c.ConfigFor(t, url)
	return func(o *kms.Options) {
		o.BaseEndpoint, o.Credentials, o.Retryer = cfg.BaseEndpoint, cfg.Credentials, retry.NewStandard()
	}
}

// refusesWhileSealed shows that a node that is sealed says so in an error that the SDK tries again: on that node in vain, and
// where requests go from node to node until one serves it.
func refusesWhileSealed(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	through, _ := client(t, onCluster(t, c, c.URL))
	k := newKey(t, through)
	post(t, c, c.Nodes[0]+"/v1/sys/seal", "{}")

	sealed, rec := client(t, onCluster(t, c, c.Nodes[0]))
	for operation, in := range map[string]any{
		"Encrypt":     &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")},
		"DescribeKey": &kms.DescribeKeyInput{KeyId: k.KeyId},
		"CreateKey":   &kms.CreateKeyInput{},
	} {
		checkException(t, do(t, sealed, operation, in), "DependencyTimeout", anything)
		if tries := rec.attempts(operation); len(tries) != 3 || tries[0].status != http.StatusServiceUnavailable {
			t.Errorf("%s was tried %v", operation, tries)
		}
	}

	through, rec = client(t, onCluster(t, c, c.URL))
	for range 6 {
		call(t, through.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")})
		call(t, through.DescribeKey, &kms.DescribeKeyInput{KeyId: k.KeyId})
		call(t, through.TagResource, &kms.TagResourceInput{KeyId: k.KeyId, Tags: []types.Tag{tag("a", "b")}})
	}
	refusals := 0
	for _, s := range append(append(rec.attempts("Encrypt"), rec.attempts("DescribeKey")...), rec.attempts("TagResource")...) {
		if s.status == http.StatusServiceUnavailable {
			refusals++
		}
	}
	if refusals == 0 {
		t.Error("no request reached the sealed node")
	}
}

// TestNothingIsTriedAgain shows that the SDK takes what is wrong with a request for what it is.
func TestNothingIsTriedAgain(t *testing.T) {
	c, rec := client(t)
	k := newKey(t, c)
	for operation, in := range map[string]any{
		"DescribeKey":  &kms.DescribeKeyInput{KeyId: aws.String(noKey())},                              // NotFoundException
		"Decrypt":      &kms.DecryptInput{CiphertextBlob: []byte("x")},                                 // InvalidCiphertextException
		"Encrypt":      &kms.EncryptInput{KeyId: k.KeyId, Plaintext: make([]byte, 4097)},               // ValidationException
		"PutKeyPolicy": &kms.PutKeyPolicyInput{KeyId: k.KeyId, Policy: aws.String("{")},                // MalformedPolicyDocumentException
		"Sign":         &kms.SignInput{KeyId: k.KeyId, Message: []byte("x"), SigningAlgorithm: "none"}, // ValidationException
		"Verify":       &kms.VerifyInput{KeyId: k.KeyId, Message: []byte("x"), Signature: []byte("x"), SigningAlgorithm: "ECDSA_SHA_256"},
	} {
		if err := do(t, c, operation, in); err == nil {
			t.Errorf("%s succeeded", operation)
		}
		if tries := rec.verdicts(operation); len(tries) != 1 || tries[0].status != http.StatusBadRequest {
			t.Errorf("%s was tried %v", operation, tries)
		}
	}
}

// lossy is an HTTP client whose first good answer does not arrive.
type lossy struct {
	*recorder
	answers []string // the good ones, the lost one first
}

// Do implements the SDK's HTTPClient.
func (l *lossy) Do(q *http.Request) (*http.Response, error) {
	resp, err := l.recorder.Do(q)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if l.answers = append(l.answers, string(body)); len(l.answers) == 1 {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return resp, nil
}

// TestLostAnswers shows that a change whose answer was lost, and that the SDK sends again under the same invocation id, to
// another node, is made once, and answered as the first time.
func TestLostAnswers(t *testing.T) {
	alias := func(t *testing.T, c *kms.Client, k *types.KeyMetadata) *string { return aws.String(newAlias(t, c, k)) }
	for operation, in := range map[string]func(*testing.T, *kms.Client, *types.KeyMetadata) any{
		"CreateKey": func(*testing.T, *kms.Client, *types.KeyMetadata) any { return &kms.CreateKeyInput{} },
		"CreateAlias": func(_ *testing.T, _ *kms.Client, k *types.KeyMetadata) any {
			return &kms.CreateAliasInput{AliasName: aws.String("alias/" + unique()), TargetKeyId: k.KeyId}
		},
		"CreateGrant": func(t *testing.T, _ *kms.Client, k *types.KeyMetadata) any {
			return &kms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: aws.String(root(t)), Operations: []types.GrantOperation{"Decrypt"}}
		},
		"RotateKeyOnDemand": func(_ *testing.T, _ *kms.Client, k *types.KeyMetadata) any {
			return &kms.RotateKeyOnDemandInput{KeyId: k.KeyId}
		},
		"ScheduleKeyDeletion": func(_ *testing.T, _ *kms.Client, k *types.KeyMetadata) any {
			return &kms.ScheduleKeyDeletionInput{KeyId: k.KeyId}
		},
		"DeleteAlias": func(t *testing.T, c *kms.Client, k *types.KeyMetadata) any {
			return &kms.DeleteAliasInput{AliasName: alias(t, c, k)}
		},
		"UpdateAlias": func(t *testing.T, c *kms.Client, k *types.KeyMetadata) any {
			return &kms.UpdateAliasInput{AliasName: alias(t, c, newKey(t, c)), TargetKeyId: k.KeyId}
		},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			steady, rec := client(t)
			k := newKey(t, steady)
			request := in(t, steady, k)
			wire := &lossy{recorder: rec}
			c, _ := client(t, func(o *kms.Options) { o.HTTPClient = wire })
			before := len(rec.verdicts(operation))
			if err := do(t, c, operation, request); err != nil {
				t.Fatal(err)
			}
			tries := rec.verdicts(operation)[before:]
			if len(tries) != 2 || tries[0].invocation != tries[1].invocation || tries[0].status != http.StatusOK {
				t.Fatalf("the call was sent as %v", tries)
			}
			switch operation {
			case "CreateGrant": // whose token is another in each answer
				equal(t, "grants", len(call(t, steady.ListGrants, &kms.ListGrantsInput{KeyId: k.KeyId}).Grants), 1)
			case "RotateKeyOnDemand":
				equal(t, "rotations", len(call(t, steady.ListKeyRotations, &kms.ListKeyRotationsInput{KeyId: k.KeyId}).Rotations), 1)
				fallthrough
			default:
				equal(t, "the second answer", wire.answers[1], wire.answers[0])
			}
		})
	}
}

// invocation has a client send everything under one invocation id.
func invocation(id string) func(*kms.Options) {
	return func(o *kms.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Build.Add(middleware.BuildMiddlewareFunc("invocation", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
				in.Request.(*smithyhttp.Request).Header.Set("Amz-Sdk-Invocation-Id", id)
				return next.HandleBuild(ctx, in)
			}), middleware.After)
		})
	}
}

// otherRequestOfAnInvocation shows that an invocation id stands for one request.
func otherRequestOfAnInvocation(t *testing.T) {
	c, _ := client(t, invocation(noKey()))
	first := newKey(t, c)
	equal(t, "the key of the same request", *newKey(t, c).KeyId, *first.KeyId)
	refused[*types.ConflictException](t, c.CreateKey, &kms.CreateKeyInput{Description: aws.String("another")}, anything)
	other, _ := client(t, invocation(noKey()))
	if k := newKey(t, other); *k.KeyId == *first.KeyId {
		t.Error("another invocation made the same key")
	}
}

// TestThrottling shows that who asks a node for more than it does at a time is throttled, and that the SDK knows to come
// again.
func TestThrottling(t *testing.T) {
	cl := cluster.Get(t)
	c, _ := client(t)
	k := newKey(t, c)
	one, rec := client(t, onCluster(t, cl, cl.Nodes[0]), func(o *kms.Options) { o.RetryMaxAttempts = 2 })
	in := &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: k.KeyId, KeyPairSpec: types.DataKeyPairSpecRsa3072}
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if _, err := one.GenerateDataKeyPairWithoutPlaintext(t.Context(), in); err != nil {
				var throttled interface{ ErrorCode() string }
				if !errors.As(err, &throttled) || throttled.ErrorCode() != "ThrottlingException" {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	wg.Wait()
	tries := map[string]int{}
	for _, s := range rec.attempts("GenerateDataKeyPairWithoutPlaintext") {
		tries[s.invocation]++
	}
	again := 0
	for _, n := range tries {
		again += n - 1
	}
	if again == 0 {
		t.Error("nothing was throttled and tried again")
	}
}
