// Command compare measures side by side what an encrypt request costs in Lockstep and what the floors
// of bench/floor cost on the same machine at the same time: echo, minimal, and encrypt on a follower
// of a three-node cluster with Basic authentication, lease, authorization and audit record; and the same by a user who
// signs with SigV4, under a key policy of 10 statements.
//
// It builds the programs, starts the floor and 'lockstep dev' as processes of their own, and lets
// bench/load, another process, load one server after the other for several rounds whose order
// rotates, so that drift of the machine meets all alike. It prints every round, the medians, and the
// medians of the ratios within a round. The figure that counts is the CPU time of the server process
// per request; background work of the node (heartbeats, lease polls, gossip) is part of it.
//
//	go run ./bench/compare
//	go run ./bench/compare -rounds 9 -duration 8s
//	go run ./bench/compare -env-file dev.env   # a cluster of 'lockstep dev --env-file' that is up
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/lockstep-kms/lockstep/bench/lab"
)

// plaintext is 32 bytes in base64, and body the request that every target gets.
const (
	plaintext         = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	encryptionContext = `"encryption_context":{"purpose":"bench"}`
	body              = `{"plaintext":"` + plaintext + `",` + encryptionContext + `}`
)

// options are the command's flags.
type options struct {
	rounds      int
	connections int
	warmUp      time.Duration
	duration    time.Duration
	basePort    int
	envFile     string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "measured rounds")
	flag.IntVar(&o.connections, "connections", 16, "keep-alive connections")
	flag.DurationVar(&o.warmUp, "warm-up", 2*time.Second, "load before each measurement")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "each measurement")
	flag.IntVar(&o.basePort, "base-port", 28000, "API port of the cluster's first node")
	flag.StringVar(&o.envFile, "env-file", "", "use the running cluster that wrote this file instead of starting one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		stop()
		os.Exit(1)
	}
}

// run builds, starts, measures and prints. What it started has ended when it returns.
func run(ctx context.Context, o options) (err error) {
	if o.rounds < 1 {
		return errors.New("-rounds must be at least 1")
	}
	dir, err := os.MkdirTemp("", "lockstep-compare-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs := []string{"bench/floor", "bench/load"}
	if o.envFile == "" {
		programs = append(programs, "cmd/lockstep")
	}
	if err := lab.Build(ctx, dir, programs...); err != nil {
		return err
	}
	floor, address, err := lab.StartListener(ctx, filepath.Join(dir, "floor"))
	if err != nil {
		return err
	}
	defer floor.Stop()
	cluster, err := openCluster(ctx, dir, o)
	if err != nil {
		return err
	}
	defer cluster.Close()
	s, err := prepare(ctx, cluster)
	if err != nil {
		return err
	}
	root := cluster.Root()
	return compare(ctx, o, s, []target{
		{name: "echo", url: "http://" + address + "/v1/keys/k/echo", pid: floor.PID()},
		{name: minimal, url: "http://" + address + "/v1/keys/k/encrypt", pid: floor.PID()},
		{name: "lockstep", url: s.follower.URL + "/v1/keys/" + s.key + "/encrypt", pid: s.follower.PID, credential: &root},
		{name: "sigv4", url: s.follower.URL + "/v1/keys/" + s.guarded + "/encrypt", pid: s.follower.PID, credential: &s.user, signed: true},
		{name: "aws door", url: s.follower.URL + "/", pid: s.follower.PID, credential: &root, signed: true, operation: "TrentService.Encrypt",
			body: `{"KeyId":"` + s.key + `","Plaintext":"` + plaintext + `","EncryptionContext":{"purpose":"bench"}}`},
	}, func(t target) (measurement, error) { return load(ctx, dir, o, t) })
}

func openCluster(ctx context.Context, dir string, o options) (*lab.Cluster, error) {
	if o.envFile != "" {
		return lab.OpenDev(o.envFile)
	}
	return lab.StartDev(ctx, lab.DevOptions{Dir: dir, BasePort: o.basePort})
}

// setting is what is measured of a cluster.
type setting struct {
	cluster  *lab.Cluster
	follower lab.Node
	key      string // id of a key made for this run

	guarded string         // id of a key with a policy of 10 statements
	user    lab.Credential // of a user whom that policy lets encrypt
}

// prepare finds a follower, makes a key through it, and proves before anything is measured that what
// the follower encrypts another node decrypts.
func prepare(ctx context.Context, c *lab.Cluster) (*setting, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return nil, err
	}
	followers := c.Others(leader)
	if len(followers) == 0 {
		return nil, errors.New("the cluster has no follower")
	}
	s := &setting{cluster: c, follower: followers[0]}
	if s.key, err = c.CreateKey(ctx, s.follower); err != nil {
		return nil, err
	}
	var encrypted struct {
		Ciphertext string `json:"ciphertext"`
	}
	if err := c.Call(ctx, http.MethodPost, s.follower.URL+"/v1/keys/"+s.key+"/encrypt", body, &encrypted); err != nil {
		return nil, err
	}
	var decrypted struct {
		Plaintext string `json:"plaintext"`
	}
	if err := c.Call(ctx, http.MethodPost, c.Nodes[leader].URL+"/v1/decrypt", `{"ciphertext":"`+encrypted.Ciphertext+`",`+encryptionContext+`}`, &decrypted); err != nil {
		return nil, err
	}
	if decrypted.Plaintext != plaintext {
		return nil, errors.New("what the follower encrypted came back changed from another node")
	}
	return s, s.guard(ctx)
}

// policy is a key policy of 10 statements, the last of which lets the user encrypt.
const policy = `{"Version":"2012-10-17","Statement":[
{"Sid":"Root","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:*","Resource":"*"},
{"Sid":"TLS","Effect":"Deny","Principal":"*","Action":"kms:PutKeyPolicy","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"},"NotIpAddress":{"aws:SourceIp":"127.0.0.0/8"}}},
{"Sid":"Address","Effect":"Deny","Principal":"*","Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":["127.0.0.0/8","10.0.0.0/8"]}}},
{"Sid":"Purpose","Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"StringNotLike":{"kms:EncryptionContext:purpose":["bench*","test*"]}}},
{"Sid":"Deletion","Effect":"Deny","Principal":"*","Action":"kms:ScheduleKeyDeletion","Resource":"*","Condition":{"NumericLessThan":{"kms:ScheduleKeyDeletionPendingWindowInDays":"14"}}},
{"Sid":"Administrators","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":["kms:Create*","kms:Describe*","kms:Enable*","kms:List*","kms:Put*"],"Resource":"*"},
{"Sid":"Grants","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":["kms:CreateGrant","kms:ListGrants","kms:RevokeGrant"],"Resource":"*","Condition":{"Bool":{"kms:GrantIsForAWSResource":"true"}}},
{"Sid":"Readers","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"readers"}}},
{"Sid":"Alias","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:GenerateDataKey*","Resource":"*","Condition":{"StringLike":{"kms:RequestAlias":"alias/app/*"}}},
{"Sid":"User","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/%s"},"Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"},"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["purpose","tenant"]}}}]}`

// guard makes a user and a key that only its policy lets the user encrypt with.
func (s *setting) guard(ctx context.Context) error {
	c, through := s.cluster, s.follower.URL
	name := fmt.Sprintf("bench-%d", os.Getpid())
	var ignored map[string]any
	if err := c.Call(ctx, http.MethodPost, through+"/v1/users", `{"name":"`+name+`"}`, &ignored); err != nil {
		return err
	}
	var made struct {
		AccessKey struct {
			ID string `json:"access_key_id"`
		} `json:"access_key"`
		Secret string `json:"secret_access_key"`
	}
	if err := c.Call(ctx, http.MethodPost, through+"/v1/users/"+name+"/create-access-key", "{}", &made); err != nil {
		return err
	}
	s.user = lab.Credential{ID: made.AccessKey.ID, Secret: made.Secret}
	var err error
	if s.guarded, err = c.CreateKey(ctx, s.follower); err != nil {
		return err
	}
	return c.Call(ctx, http.MethodPost, through+"/v1/keys/"+s.guarded+"/put-key-policy", `{"policy":`+fmt.Sprintf(policy, name)+`}`, &ignored)
}

// stillFollower is an error when the measured node leads by now: the figures would not be one thing.
func (s *setting) stillFollower(ctx context.Context) error {
	h, err := s.cluster.Health(ctx, s.follower)
	if err == nil && h.Leader {
		err = errors.New("the measured follower became the leader; run again")
	}
	return err
}

// minimal is the target that ratios refer to.
const minimal = "minimal"

// compare measures every target in every round.
func compare(ctx context.Context, o options, s *setting, targets []target, measure func(target) (measurement, error)) error {
	all := newTable(targets)
	fmt.Printf("%s, %d connections, %d rounds of %v after %v warm-up\n\n", lab.Environment(), o.connections, o.rounds, o.duration, o.warmUp)
	for round := range o.rounds {
		for i := range targets {
			at := (round + i) % len(targets)
			m, err := measure(targets[at])
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, targets[at].name, err)
			}
			all.add(at, m)
			fmt.Printf("round %d  %s\n", round+1, row(targets[at].name, m))
		}
		if err := s.stillFollower(ctx); err != nil {
			return err
		}
	}
	fmt.Print("\n", all)
	return nil
}

// load runs bench/load against a target.
func load(ctx context.Context, dir string, o options, t target) (measurement, error) {
	args := []string{"-url", t.url, "-pid", strconv.Itoa(t.pid), "-connections", strconv.Itoa(o.connections),
		"-warm-up", o.warmUp.String(), "-duration", o.duration.String(), "-body", cmp.Or(t.body, body)}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "load"))
	cmd.Env = os.Environ()
	if t.credential != nil {
		if t.signed {
			args = append(args, "-sigv4", "-target", t.operation)
		} else {
			args = append(args, "-basic")
		}
		cmd.Env = append(cmd.Env, "LOCKSTEP_ACCESS_KEY_ID="+t.credential.ID, "LOCKSTEP_SECRET_ACCESS_KEY="+t.credential.Secret)
	}
	cmd.Args = append(cmd.Args, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return measurement{}, fmt.Errorf("load: %w: %s", err, out)
	}
	return parseMeasurement(out)
}
