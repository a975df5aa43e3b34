package sigv4

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// runTool runs a client as its user would. It skips the test when the client is not installed,
// except in CI, which installs all of them.
func runTool(t *testing.T, probe []string, command []string, server string) {
	t.Helper()
	if out, err := exec.Command(probe[0], probe[1:]...).CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s: %v\n%s", strings.Join(probe, " "), err, out)
		}
		t.Skipf("%s is not installed: %v", probe[0], err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+testID, "AWS_SECRET_ACCESS_KEY="+testSecret, "AWS_REGION=us-east-1",
		"AWS_DEFAULT_REGION=us-east-1", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "NO_PROXY=*", "ENDPOINT="+server)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command[0], err, out)
	}
}

func wantVerified(t *testing.T, verdicts <-chan verdict, target, path string) {
	t.Helper()
	select {
	case v := <-verdicts:
		if v.err != nil {
			t.Fatal(v.err)
		}
		if v.target != target || v.path != path || v.signature.AccessKeyID != testID {
			t.Fatalf("verified another request: %+v", v)
		}
	default:
		t.Fatal("no request came")
	}
}

// python finds an interpreter that has boto3: a distribution's packages are not seen by others.
func python() string {
	for _, p := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(p, "-c", "import boto3").Run() == nil {
			return p
		}
	}
	return "python3"
}

func TestBoto3(t *testing.T) {
	const script = `
import boto3, os
kms = boto3.client("kms", endpoint_url=os.environ["ENDPOINT"])
kms.encrypt(KeyId="alias/orders", Plaintext=b"\x00hello", EncryptionContext={"a b": "\u00e9/%2F"})
boto3.client("kms", endpoint_url=os.environ["ENDPOINT"], aws_session_token="AQoD//token+==").list_keys()
`
	srv, verdicts := verifying(t, time.Now, false)
	p := python()
	runTool(t, []string{p, "-c", "import boto3"}, []string{p, "-c", script}, srv.URL)
	wantVerified(t, verdicts, "TrentService.Encrypt", "/")
	wantVerified(t, verdicts, "TrentService.ListKeys", "/")
}

func TestAWSCLI(t *testing.T) {
	srv, verdicts := verifying(t, time.Now, false)
	runTool(t, []string{"aws", "--version"}, []string{"aws", "kms", "list-keys", "--endpoint-url", srv.URL}, srv.URL)
	wantVerified(t, verdicts, "TrentService.ListKeys", "/")
}

func TestCurl(t *testing.T) {
	for path, body := range map[string]string{
		"/":                               `{"KeyId":"x"}`,
		"/v1/keys/alias/orders":           "",
		"/v1/keys/alias%2Forders/encrypt": `{}`,
		"/v1/keys/arn%3Aaws%3Akms":        "",
		"/v1/keys?limit=10":               "",
	} {
		t.Run(path, func(t *testing.T) {
			srv, verdicts := verifying(t, time.Now, false)
			args := []string{"curl", "--silent", "--show-error", "--fail", "--aws-sigv4", "aws:amz:us-east-1:kms", "--user", testID + ":" + testSecret, srv.URL + path}
			target := ""
			if body != "" {
				target = "TrentService.Encrypt"
				args = append(args, "--data-binary", body, "--header", "Content-Type: application/x-amz-json-1.1", "--header", "X-Amz-Target: "+target)
			}
			runTool(t, []string{"curl", "--version"}, args, srv.URL)
			wantVerified(t, verdicts, target, path)
		})
	}
}
