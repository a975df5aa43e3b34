package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/integration/cluster"
)

// TestOneRequestInAnswerLogAndRecord seals a cluster within a trace: request and trace are the same in the answer, in the record
// and in the log of the node that was asked, and the trace is in the records and logs of the others.
func TestOneRequestInAnswerLogAndRecord(t *testing.T) {
	t.Parallel()
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	c := cluster.Start(t, cluster.Options{})
	n := c.Nodes[0]
	q, err := http.NewRequestWithContext(background(t), "POST", n.APIAddr+"/v1/sys/seal", strings.NewReader(`{"cluster":true}`))
	if err != nil {
		t.Fatal(err)
	}
	q.SetBasicAuth(c.AccessKeyID, c.SecretAccessKey)
	q.Header.Set("Traceparent", "00-"+traceID+"-00f067aa0ba902b7-01")
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	id := a.Header.Get(wire.HeaderRequestID)
	if a.StatusCode != http.StatusOK || id == "" {
		t.Fatalf("%d, request id %q", a.StatusCode, id)
	}
	for i, n := range c.Nodes {
		lines := auditLines(t, n, "Seal")
		if len(lines) != 1 || !strings.Contains(lines[0], `"traceId":"`+traceID+`"`) || (i == 0) != strings.Contains(lines[0], `"requestID":"`+id+`"`) {
			t.Errorf("%s recorded %v", n.Name, lines)
		}
		poll(t, 20*time.Second, "the log line of "+n.Name, func() error {
			log, err := os.ReadFile(filepath.Join(n.Dir, "server.log"))
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(log)) {
				if strings.Contains(line, "the node is sealed") && strings.Contains(line, "trace_id="+traceID) && (i > 0 || strings.Contains(line, "request_id="+id)) {
					return nil
				}
			}
			return notYet("no line of the request")
		})
	}
}

// TestNodeEventsAreRecorded: what nodes do by themselves stands in their audit files, each change once.
func TestNodeEventsAreRecorded(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	leader := c.Leader()
	events := func(n *cluster.Node, name string, want int) {
		t.Helper()
		poll(t, 20*time.Second, name+" of "+n.Name, func() error {
			lines := auditLines(t, n, name)
			if len(lines) != want {
				return notYet("%d records: %v", len(lines), lines)
			}
			for _, line := range lines {
				if !strings.Contains(line, `"eventType":"AwsServiceEvent"`) || !strings.Contains(line, `"eventSource":"lockstep"`) || !strings.Contains(line, `"serviceEventDetails":{`) ||
					!strings.Contains(line, `"userIdentity":{"type":"Service","principalId":"`+n.Name+`"}`) {
					t.Errorf("%s: %s", n.Name, line)
				}
			}
			return nil
		})
	}
	for _, n := range c.Nodes {
		events(n, "NodeStarted", 1)
		events(n, "NodeUnsealed", 1)
	}
	poll(t, 20*time.Second, "the leader's election", func() error {
		if n := len(auditLines(t, leader, "LeadershipGained")); n == 0 {
			return notYet("none")
		}
		return nil
	})
	if err := leader.Stop(); err != nil {
		t.Fatal(err)
	}
	events(leader, "NodeStopping", 1)
	if gained, lost := len(auditLines(t, leader, "LeadershipGained")), len(auditLines(t, leader, "LeadershipLost")); gained != lost {
		t.Errorf("the leader gained leadership %d times and lost it %d times", gained, lost)
	}
	leader.Start()
	events(leader, "NodeStarted", 2)
	events(leader, "NodeUnsealed", 1)
}
