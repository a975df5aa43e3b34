// Command load sends one HTTP request over and over on keep-alive connections and prints, as one
// JSON line, how many were answered, how fast, and what CPU time the server process spent on each.
//
// It is a closed loop: every connection sends its next request when the last was answered. An answer
// of another status than -status makes the measurement worthless: it is reported and the exit status is 1.
//
// With -basic, LOCKSTEP_ACCESS_KEY_ID and LOCKSTEP_SECRET_ACCESS_KEY go into an Authorization header; with -sigv4 they sign
// the request, once: a server takes the signature for 5 minutes. The command line, which other users can read, never
// carries them.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/lockstep-kms/lockstep/bench/lab"
)

func main() {
	var l lab.Load
	flag.IntVar(&l.Status, "status", http.StatusOK, "status of a success")
	url := flag.String("url", "", "http URL to POST to")
	body := flag.String("body", `{"plaintext":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","encryption_context":{"purpose":"bench"}}`, "request body")
	pid := flag.Int("pid", 0, "process id of the server, for CPU time per request")
	flag.IntVar(&l.Connections, "connections", 16, "keep-alive connections, one request at a time on each")
	flag.DurationVar(&l.WarmUp, "warm-up", time.Second, "time before the measurement")
	flag.DurationVar(&l.Duration, "duration", 5*time.Second, "time of the measurement")
	basic := flag.Bool("basic", false, "authenticate with LOCKSTEP_ACCESS_KEY_ID and LOCKSTEP_SECRET_ACCESS_KEY")
	sigv4 := flag.Bool("sigv4", false, "sign with LOCKSTEP_ACCESS_KEY_ID and LOCKSTEP_SECRET_ACCESS_KEY, for us-east-1 and kms")
	operation := flag.String("target", "", "with -sigv4: the X-Amz-Target header")
	flag.Parse()
	var headers []string
	credential := lab.Credential{ID: os.Getenv("LOCKSTEP_ACCESS_KEY_ID"), Secret: os.Getenv("LOCKSTEP_SECRET_ACCESS_KEY")}
	if *basic {
		headers = append(headers, credential.Header())
	}
	if *sigv4 {
		signed, err := credential.Sign(*url, *operation, *body)
		if err != nil {
			fail(err)
		}
		headers = append(headers, signed...)
	}
	if *pid != 0 {
		l.PIDs = []int{*pid}
	}
	var err error
	if l.Address, l.Request, err = lab.NewRequest(*url, *body, headers...); err != nil {
		fail(fmt.Errorf("-url: %w", err))
	}
	r, err := l.Run()
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil || r.Failed > 0 {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "load:", err)
	os.Exit(1)
}
