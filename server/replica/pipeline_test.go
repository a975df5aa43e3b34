package replica

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// twoUnderWay is a pipeline as Raft's: sending waits until there is room, which there is when an answer was read, or until it is closed.
type twoUnderWay struct {
	answers chan raft.AppendFuture
	room    chan struct{}
	closed  chan struct{}
}

func (p *twoUnderWay) AppendEntries(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	select {
	case <-p.room:
		return nil, nil
	case <-p.closed:
		return nil, raft.ErrPipelineShutdown
	}
}

func (p *twoUnderWay) Consumer() <-chan raft.AppendFuture { return p.answers }

func (p *twoUnderWay) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

type answered struct {
	raft.AppendFuture
	asked  raft.AppendEntriesRequest
	answer raft.AppendEntriesResponse
}

func (a *answered) Request() *raft.AppendEntriesRequest   { return &a.asked }
func (a *answered) Response() *raft.AppendEntriesResponse { return &a.answer }
func (a *answered) Start() time.Time                      { return time.Time{} }

// Who sends into a pipeline is told when nobody reads it any more; until then it works as it is.
func TestPipelineEnds(t *testing.T) {
	for name, last := range map[string]raft.AppendEntriesResponse{"refused": {Term: 7}, "a later term": {Term: 8, Success: true}, "closed": {}} {
		synctest.Test(t, func(t *testing.T) {
			inner := &twoUnderWay{make(chan raft.AppendFuture), make(chan struct{}), make(chan struct{})}
			p := newPipeline(inner)
			well := &answered{asked: raft.AppendEntriesRequest{Term: 7}, answer: raft.AppendEntriesResponse{Term: 7, Success: true}}
			for range 3 {
				go func() { inner.room <- struct{}{} }()
				if _, err := p.AppendEntries(nil, nil); err != nil {
					t.Fatal(err)
				}
				inner.answers <- well
				if got := <-p.Consumer(); got != raft.AppendFuture(well) {
					t.Fatalf("%s: %v", name, got)
				}
			}
			sent := make(chan error, 1)
			go func() {
				_, err := p.AppendEntries(nil, nil)
				sent <- err
			}()
			synctest.Wait()
			if name == "closed" {
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				inner.answers <- &answered{asked: well.asked, answer: last}
				if got := <-p.Consumer(); got.Response().Term != last.Term {
					t.Errorf("%s: %v", name, got.Response())
				}
			}
			if err := <-sent; err != raft.ErrPipelineShutdown {
				t.Errorf("%s: sending ends with %v", name, err)
			}
			if err := p.Close(); err != nil { // as Raft does in the end
				t.Error(err)
			}
		})
	}
}
