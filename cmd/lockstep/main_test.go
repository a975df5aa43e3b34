package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lockstep": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true})
}

// Scripts with a real service behind the doors.
func TestScriptsWithAService(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/service", RequireExplicitExec: true, Setup: func(e *testscript.Env) error {
		cluster := servicetest.New(t)
		s := httptest.NewServer(handler(&node{}, cluster.Node(servicetest.Options{}).Service))
		e.Defer(s.Close)
		e.Setenv("LOCKSTEP_ADDR", s.URL)
		e.Setenv("LOCKSTEP_ACCESS_KEY_ID", cluster.Root.AccessKeyID)
		e.Setenv("LOCKSTEP_SECRET_ACCESS_KEY", cluster.Root.Secret)
		return nil
	}})
}

// lockstep runs one command line and returns the exit status and what it wrote.
func lockstep(t *testing.T, env map[string]string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs,
		Env: func(name string) string { return env[name] }})
	if code != 0 && (!strings.HasPrefix(errs.String(), "lockstep: ") || strings.Count(errs.String(), "\n") != 1) {
		t.Errorf("%q: standard error is not one line that begins with lockstep: %q", args, errs.String())
	}
	return code, out.String(), errs.String()
}

func leaves(cmd *cobra.Command, visit func(*cobra.Command)) {
	if !cmd.HasSubCommands() {
		visit(cmd)
	}
	for _, child := range cmd.Commands() {
		leaves(child, visit)
	}
}

func TestEveryOperationHasACommand(t *testing.T) {
	have := map[string]bool{}
	leaves(newRootCommand(cli.SystemStreams()), func(cmd *cobra.Command) {
		for name := range strings.FieldsSeq(cmd.Annotations[cli.OperationKey]) {
			have[name] = true
		}
	})
	for _, op := range kms.Operations {
		if !have[op.Name] {
			t.Errorf("no command calls %s", op.Name)
		}
	}
	for _, rt := range wire.SystemRoutes() {
		if rt.Name != wire.OpenAPI && !have[rt.Name] {
			t.Errorf("no command calls %s", rt.Name)
		}
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	leaves(newRootCommand(cli.SystemStreams()), func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short help %q", cmd.CommandPath(), cmd.Short)
		}
		if cmd.Example == "" && cmd.HasParent() && cmd.Parent().Name() != "completion" && cmd.Name() != "help" && cmd.Parent().Name() != "dev" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		if ops := cmd.Annotations[cli.OperationKey]; ops != "" && cmd.InheritedFlags().Lookup("output") == nil && cmd.Flags().Lookup("output") == nil {
			t.Errorf("%s has no -o", cmd.CommandPath())
		}
	})
}

// A command that is shown in an example must parse.
func TestExamplesParse(t *testing.T) {
	leaves(newRootCommand(cli.SystemStreams()), func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			_, line, found := strings.Cut(strings.TrimSpace(line), "lockstep ")
			if !found {
				continue
			}
			line, _, _ = strings.Cut(line, " |")
			line, _, _ = strings.Cut(line, " <")
			line, _, _ = strings.Cut(line, " >")
			line, _, _ = strings.Cut(line, "   #")
			args := strings.Fields(strings.ReplaceAll(line, `"`, ""))
			root := newRootCommand(cli.SystemStreams())
			found2, rest, err := root.Find(args)
			if err != nil || found2.CommandPath() != cmd.CommandPath() {
				t.Errorf("%q finds %v, %v", line, found2.CommandPath(), err)
				continue
			}
			if err := found2.ParseFlags(rest); err != nil {
				t.Errorf("%q: %v", line, err)
			} else if err := found2.ValidateArgs(found2.Flags().Args()); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
	})
}

func TestExitStatus(t *testing.T) {
	nobody := map[string]string{"LOCKSTEP_ADDR": "http://127.0.0.1:1"}
	tests := map[string]struct {
		env  map[string]string
		args string
		code int
		says string
	}{
		"no command":              {nil, "", 2, "a command is missing"},
		"unknown command":         {nil, "frobnicate", 2, `no command "frobnicate"`},
		"near miss":               {nil, "keys list", 2, `did you mean "key"?`},
		"unknown below":           {nil, "key frobnicate", 2, "'lockstep key --help'"},
		"group alone":             {nil, "operator", 2, "a command is missing"},
		"unknown flag":            {nil, "key list --frob", 2, "unknown flag: --frob"},
		"missing argument":        {nil, "key describe", 2, "KEY is missing"},
		"second argument missing": {nil, "alias create alias/a", 2, "KEY is missing"},
		"too many":                {nil, "key describe a b", 2, `too many: "b"`},
		"bad output":              {nobody, "key list -o yaml", 2, "--output"},
		"bad address":             {map[string]string{"LOCKSTEP_ADDR": "node1"}, "key list", 2, "node1"},
		"bad wait":                {nobody, "key disable k --wait some", 2, "--wait"},
		"wait-timeout alone":      {nobody, "key disable k --wait-timeout 1s", 2, "--wait all"},
		"bad context":             {nobody, "encrypt k --context novalue", 2, "NAME=VALUE"},
		"context twice":           {nobody, "encrypt k --context a=1 --context a=2", 2, "NAME=VALUE"},
		"key without certificate": {map[string]string{"LOCKSTEP_CLIENT_KEY": "x"}, "key list", 2, "go together"},
		"bad number":              {nobody, "random many", 2, "number of bytes"},
		"nobody listens":          {nobody, "key list", 1, "connection refused"},
		"no CA file":              {map[string]string{"LOCKSTEP_CACERT": "/nowhere/ca.pem"}, "key list", 1, "/nowhere/ca.pem"},
		"not base64":              {nobody, "decrypt %%%", 1, "base64"},
		"no input file":           {nobody, "encrypt k --in /nowhere/file", 1, "/nowhere/file"},
		"status of nobody":        {nobody, "operator status", 1, "no node answers"},
		"health of nobody":        {nobody, "health", 1, "connection refused"},
		"no share":                {nobody, "operator unseal", 2, "no share"},

		"no key for policy":        {nobody, "key policy", 2, "KEY is missing"},
		"policy of two":            {nobody, "key policy put k f x", 2, `too many: "x"`},
		"policy file":              {nobody, "key policy put k /nowhere/policy", 1, "/nowhere/policy"},
		"policy of nothing":        {nobody, "key policy put k", 1, "standard input holds no policy document"},
		"tag without a value":      {nobody, "key tags add k team", 2, "NAME=VALUE"},
		"tag twice":                {nobody, "key tags add k a=1 a=2", 2, "NAME=VALUE"},
		"no tag":                   {nobody, "key tags remove k", 2, "NAME is missing"},
		"days in words":            {nobody, "key schedule-deletion k --days many", 2, "--days"},
		"no region":                {nobody, "key replicate k", 2, "REGION is missing"},
		"no grantee":               {nobody, "grant create k --operation Encrypt", 2, "grantee"},
		"no operation":             {nobody, "grant create k --grantee p", 2, "operation"},
		"bad constraint":           {nobody, "grant create k --grantee p --operation Encrypt --context-subset a", 2, "NAME=VALUE"},
		"retire nothing":           {nobody, "grant retire", 2, "--token"},
		"retire both ways":         {nobody, "grant retire --token t --key k --id g", 2, "--token"},
		"retire half a name":       {nobody, "grant retire --key k", 2, "--id"},
		"no grant":                 {nobody, "grant revoke k", 2, "GRANT-ID is missing"},
		"public key in what":       {nobody, "key public-key k --format jwk", 2, "--format"},
		"parameters in what":       {nobody, "key import-parameters k --public-key p --token t --format jwk", 2, "--format"},
		"parameters to where":      {nobody, "key import-parameters k --token t", 2, "public-key"},
		"import of nothing":        {nobody, "key import k", 2, "material"},
		"import of no file":        {nobody, "key import k --material /nowhere/m", 1, "/nowhere/m"},
		"import type":              {nobody, "key import k --material - --type OLD", 2, "--type"},
		"expires in words":         {nobody, "key import k --material - --expires soon", 2, "--expires"},
		"expires before":           {nobody, "key import k --material - --expires -1h", 2, "--expires"},
		"no wrapped":               {nobody, "key import-material k --token t", 2, "wrapped"},
		"no token":                 {nobody, "key import-material k --wrapped w", 2, "token"},
		"no such token":            {nobody, "key import-material k --wrapped - --token /nowhere/t", 1, "/nowhere/t"},
		"no signature":             {nobody, "verify k", 2, "signature"},
		"two signatures":           {nobody, "verify k c2ln --signature f", 2, "signature"},
		"signature no base64":      {nobody, "verify k %%% --algorithm ECDSA_SHA_256", 1, "base64"},
		"two inputs":               {nobody, "verify k --signature - --algorithm ECDSA_SHA_256", 2, "standard input"},
		"no mac":                   {nobody, "verify-mac k", 2, "mac"},
		"no pair spec":             {nobody, "generate-data-key-pair k", 2, "spec"},
		"no public key":            {nobody, "derive-shared-secret k", 2, "public-key"},
		"secret of no file":        {nobody, "derive-shared-secret k --public-key /nowhere/p", 1, "/nowhere/p"},
		"two ciphertexts":          {nobody, "decapsulate k c2ln --in f", 2, "exclude"},
		"ciphertext no base64":     {nobody, "decapsulate k %%%", 1, "base64"},
		"text and file":            {nobody, "encrypt k --in f --plaintext-text t", 2, "exclude"},
		"wait-timeout of a grant":  {nobody, "grant revoke k g --wait-timeout 1s", 2, "--wait all"},
		"rotation without a word":  {nobody, "key rotation", 2, "a command is missing"},
		"near miss below":          {nobody, "key rotation enabel k", 2, `did you mean "enable"?`},
		"description without text": {nobody, "key update-description k", 2, "TEXT is missing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := lockstep(t, tt.env, "", strings.Fields(tt.args)...)
			if code != tt.code || !strings.Contains(stderr, tt.says) {
				t.Errorf("%d %q", code, stderr)
			}
			if strings.Contains(stderr, "--help") != (code == 2) {
				t.Errorf("the hint at --help: %q", stderr)
			}
		})
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	if got := cli.OneLine(errors.Join(errors.New("first\r\n"), errors.New("second"))); got != "first; second" {
		t.Errorf("%q", got)
	}
}

func TestVersionAsJSON(t *testing.T) {
	code, stdout, _ := lockstep(t, nil, "", "version", "-o", "json")
	var b buildInfo
	if err := json.Unmarshal([]byte(stdout), &b); code != 0 || err != nil || b.Version == "" || b.Go == "" {
		t.Errorf("%d %s %v", code, stdout, err)
	}
}

// Keys of certificates must not be readable for others, whatever the umask.
func TestCertificateFileModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	for _, args := range [][]string{
		{"cert", "ca", "--out", dir},
		{"cert", "node", "node-0", "--host", "node-0", "--ca", dir, "--out", dir},
	} {
		if code, _, stderr := lockstep(t, nil, "", args...); code != 0 {
			t.Fatal(stderr)
		}
	}
	for file, want := range map[string]os.FileMode{"ca.pem": 0o644, "ca-key.pem": 0o600, "node-0.pem": 0o644, "node-0-key.pem": 0o600} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", file, info, err)
		}
	}
}

// Every command that a runbook of an alert names is there, with its flags.
func TestRunbooksNameCommands(t *testing.T) {
	rules, err := os.ReadFile("../../deploy/prometheus/lockstep.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`'lockstep ([^']*)'`).FindAllStringSubmatch(string(rules), -1)
	if len(lines) < 10 {
		t.Errorf("only %d commands were found", len(lines))
	}
	for _, line := range lines {
		cmd, rest, err := newRootCommand(cli.SystemStreams()).Find(strings.Fields(line[1]))
		if err != nil || cmd.HasSubCommands() {
			t.Errorf("%q: %v", line[1], err)
			continue
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Errorf("%q: %v", line[1], err)
		}
	}
}
