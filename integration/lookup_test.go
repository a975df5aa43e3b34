package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
)

// found is what this test reads of a record.
type found struct {
	EventID, EventName string
	Additional         struct{ Node string } `json:"additionalEventData"`
}

// lookUp returns one page of records that a node answers, and how many members were silent.
func lookUp(t *testing.T, n *cluster.Node, q kms.LookupEventsRequest) (all []found, next string, silent int) {
	t.Helper()
	a, err := n.Client().LookupEvents(background(t), &q)
	if err != nil {
		t.Fatalf("%s: %v", n.Name, err)
	}
	for _, line := range a.Events {
		var f found
		if err := json.Unmarshal(line, &f); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all, a.NextMarker, a.SilentNodes
}

// TestEventsFromEveryNode: what a call left on one node is found through every other as soon as it was answered, and still after
// the files were rotated from outside and nodes were restarted. A node that is down is told of.
func TestEventsFromEveryNode(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	for _, name := range []string{"NodeStarted", "SubmitUnsealShare"} { // they belong to no account, the operator's not either
		of := c.Nodes[0].Config.OperatorAccountID
		all, _, _ := lookUp(t, c.Nodes[0], kms.LookupEventsRequest{EventName: name})
		own, _, _ := lookUp(t, c.Nodes[0], kms.LookupEventsRequest{EventName: name, AccountID: of})
		if len(all) == 0 || len(own) != 0 {
			t.Errorf("%s: %d records, %d of them of account %s", name, len(all), len(own), of)
		}
	}
	key := createKey(t, c.Nodes[0].Client(), "looked for")
	for i, n := range c.Nodes {
		if err := encrypts(background(t), n.Client(), key); err != nil {
			t.Fatal(err)
		}
		for _, through := range c.Nodes {
			all, _, silent := lookUp(t, through, kms.LookupEventsRequest{KeyID: key, EventName: "Encrypt"})
			if len(all) != i+1 || silent != 0 || !slices.ContainsFunc(all, func(f found) bool { return f.Additional.Node == n.Name }) {
				t.Errorf("through %s right after %s encrypted: %+v, %d silent", through.Name, n.Name, all, silent)
			}
		}
	}

	// Pages have every record once, and the file may be moved away meanwhile.
	seen := map[string]int{}
	q := kms.LookupEventsRequest{KeyID: key, Limit: 2}
	for i := 0; ; i++ {
		n := c.Nodes[i%len(c.Nodes)]
		all, next, _ := lookUp(t, n, q)
		for _, f := range all {
			seen[f.EventID]++
		}
		if next == "" {
			break
		}
		q.Marker = next
		file := filepath.Join(n.Dir, "audit.jsonl")
		if err := os.Rename(file, fmt.Sprintf("%s.%d", file, i)); err != nil {
			t.Fatal(err)
		}
		if err := encrypts(background(t), n.Client(), key); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 4 { // CreateKey, and an Encrypt on each node; those since are newer than the first page
		t.Errorf("the pages have %d records: %v", len(seen), seen)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s is on %d pages", id, n)
		}
	}

	before, _, _ := lookUp(t, c.Nodes[0], kms.LookupEventsRequest{KeyID: key, Limit: 1000})
	down := c.Followers()[0]
	if err := down.Stop(); err != nil {
		t.Fatal(err)
	}
	up := c.Leader()
	if part, _, silent := lookUp(t, up, kms.LookupEventsRequest{KeyID: key, Limit: 1000}); silent != 1 || len(part) >= len(before) {
		t.Errorf("while %s is down: %d of %d records, %d silent", down.Name, len(part), len(before), silent)
	}
	if err := os.RemoveAll(filepath.Join(down.Dir, "audit.jsonl.index")); err != nil {
		t.Fatal(err)
	}
	down.Start()
	down.Unseal()
	down.WaitServing()
	c.Eventually(20*time.Second, "all records are found again", func(ctx context.Context) error {
		again, err := up.Client().LookupEvents(ctx, &kms.LookupEventsRequest{KeyID: key, Limit: 1000})
		if err == nil && (again.SilentNodes != 0 || len(again.Events) != len(before)) {
			err = fmt.Errorf("%d of %d records, %d silent", len(again.Events), len(before), again.SilentNodes)
		}
		return err
	})
}
