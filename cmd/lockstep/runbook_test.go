package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
)

// Every command that a runbook of the alerts names is one, with the flags that it names.
func TestRunbooksNameCommands(t *testing.T) {
	rules, err := os.ReadFile("../../deploy/prometheus/lockstep.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`'lockstep ([a-z][^']*)'`).FindAllStringSubmatch(string(rules), -1)
	if len(all) < 10 {
		t.Errorf("only %d commands are named", len(all))
	}
	for _, named := range all {
		words := strings.Fields(named[1])
		cmd, _, err := newRootCommand(cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}).Find(words)
		if err != nil || !cmd.Runnable() {
			t.Errorf("lockstep %s: no such command: %v", named[1], err)
			continue
		}
		for _, w := range words {
			if flag, ok := strings.CutPrefix(w, "--"); ok && cmd.Flag(flag) == nil {
				t.Errorf("lockstep %s: no flag %s", named[1], w)
			}
		}
	}
}
