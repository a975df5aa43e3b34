//go:build long

package endurance

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

// shape is an input or output with the names of AWS's model; in JSON, blobs are base64.
type shape map[string]any

// reply is how a client's call ended, its own retries over.
type reply struct {
	Class   string `json:"class"` // of the error: its code and status, "502" of the endpoint in front, "connection"; "" for success
	Message string `json:"message"`
	Sent    int    `json:"sent"` // requests
	Out     struct {
		KeyMetadata    struct{ KeyId, Description string }
		KeyId          string
		CiphertextBlob []byte
		Plaintext      []byte
		Signature      []byte
		SignatureValid bool
	} `json:"out"`
}

// caller is a client. It is used by one goroutine.
type caller interface {
	call(ctx context.Context, operation string, in shape) (reply, error) // the error is of the test's own
}

// goSDK calls aws-sdk-go-v2 by its method names, inputs and outputs.
type goSDK struct {
	client *kms.Client
	sent   *atomic.Int64
}

type counting struct {
	http.RoundTripper
	sent *atomic.Int64
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.sent.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

func newGoSDK(t *testing.T, c *cluster.Cluster, url string) *goSDK {
	sent := new(atomic.Int64)
	cfg := c.ConfigFor(t, url)
	cfg.HTTPClient = &http.Client{Transport: counting{http.DefaultTransport.(*http.Transport).Clone(), sent}}
	return &goSDK{kms.NewFromConfig(cfg, func(o *kms.Options) {
		o.Retryer = retry.AddWithMaxAttempts(retry.NewStandard(), 5)
	}), sent}
}

func (g *goSDK) call(ctx context.Context, operation string, in shape) (r reply, err error) {
	method := reflect.ValueOf(g.client).MethodByName(operation)
	input := reflect.New(method.Type().In(1).Elem())
	raw, err := json.Marshal(in)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(raw, input.Interface()); err != nil {
		return r, err
	}
	before := g.sent.Load()
	answer := method.Call([]reflect.Value{reflect.ValueOf(ctx), input})
	r.Sent = int(g.sent.Load() - before)
	if failed, _ := answer[1].Interface().(error); failed != nil {
		r.Class, r.Message = classOf(failed), failed.Error()
		return r, nil
	}
	if raw, err = json.Marshal(answer[0].Interface()); err != nil {
		return r, err
	}
	return r, json.Unmarshal(raw, &r.Out)
}

func classOf(err error) string {
	response := (*awshttp.ResponseError)(nil)
	api := smithy.APIError(nil)
	network := net.Error(nil)
	switch {
	case errors.As(err, &response) && response.HTTPStatusCode() == http.StatusBadGateway:
		return "502"
	case errors.As(err, &api) && errors.As(err, &response):
		return fmt.Sprintf("%s %d", api.ErrorCode(), response.HTTPStatusCode())
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer"
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "connection"
	}
	return fmt.Sprintf("%T", err)
}

// boto3 has boto.py make its calls.
type boto3 struct {
	in  io.Writer
	out *bufio.Scanner
}

func newBoto3(t *testing.T, c *cluster.Cluster) *boto3 {
	python := "python3"
	if exec.Command(python, "-c", "import boto3").Run() != nil {
		python = "/usr/bin/python3" // where Debian's packages are seen
	}
	cmd := exec.CommandContext(t.Context(), python, "boto.py", c.URL)
	cmd.Env = append(os.Environ(), c.Env()...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("boto3 (apt-get install python3-boto3): %v", err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	b := &boto3{in, bufio.NewScanner(out)}
	b.out.Buffer(nil, 1<<20)
	return b
}

func (b *boto3) call(_ context.Context, operation string, in shape) (r reply, err error) {
	if err := json.NewEncoder(b.in).Encode(map[string]any{"op": operation, "in": in}); err != nil {
		return r, err
	}
	if !b.out.Scan() {
		return r, fmt.Errorf("boto.py ended: %w", errors.Join(b.out.Err(), io.ErrUnexpectedEOF))
	}
	return r, json.Unmarshal(b.out.Bytes(), &r)
}

// curl signs by itself (--aws-sigv4), asks the nodes in turn, and never tries again.
type curl struct {
	c    *cluster.Cluster
	next int
}

func newCurl(t *testing.T, c *cluster.Cluster) *curl {
	if out, err := exec.Command("curl", "--help", "all").Output(); err != nil || !bytes.Contains(out, []byte("--aws-sigv4")) {
		t.Fatal("no curl that knows --aws-sigv4 is installed")
	}
	return &curl{c: c}
}

func (u *curl) call(ctx context.Context, operation string, in shape) (r reply, err error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return r, err
	}
	node := u.c.Nodes[u.next%len(u.c.Nodes)]
	u.next++
	r.Sent = 1
	// What is secret goes by standard input, as the configuration that it is.
	cmd := exec.CommandContext(ctx, "curl", "-sS", "-K", "-", "-w", "\n%{http_code}", "--aws-sigv4", "aws:amz:"+u.c.Region+":kms",
		"-H", "X-Amz-Target: TrentService."+operation, "-H", "Amz-Sdk-Invocation-Id: "+rand.Text(), "-H", "Content-Type: application/x-amz-json-1.1", "--data-binary", string(raw), node+"/")
	cmd.Stdin = strings.NewReader(fmt.Sprintf("user = %q\n", u.c.AccessKeyID+":"+u.c.SecretAccessKey))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || ctx.Err() != nil {
			return r, fmt.Errorf("curl: %w: %s", err, &stderr)
		} else if code := exit.ExitCode(); code == 7 || code == 52 || code == 56 { // no connection, no answer, reset
			r.Class = "connection"
		} else {
			r.Class = fmt.Sprintf("curl's exit %d", code)
		}
		r.Message = stderr.String()
		return r, nil
	}
	at := bytes.LastIndexByte(out, '\n')
	body, status := out[:at], string(out[at+1:])
	if status == "200" {
		return r, json.Unmarshal(body, &r.Out)
	}
	var refusal struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &refusal); err != nil {
		return r, fmt.Errorf("status %s and no error of AWS: %s", status, body)
	}
	r.Class, r.Message = refusal.Type+" "+status, refusal.Message
	return r, nil
}
