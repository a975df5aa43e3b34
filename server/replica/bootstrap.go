package replica

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// belong is the goroutine that gets this node a place: it forms the cluster when every expected peer
// is there without state, asks the leader to be taken in when there is a cluster, and keeps this
// node's record true.
func (r *Replica) belong() {
	told := ""
	for {
		err := r.settleIn()
		interval := r.timing.Join
		switch {
		case err == nil:
			told = ""
			interval = max(interval, min(4*r.timing.Join, time.Second))
		case r.ctx.Err() != nil:
		case err.Error() != told:
			told = err.Error()
			r.log.Info("this node looks for its place in the cluster", "because", told)
		}
		if !pause(r.ctx, interval) {
			return
		}
	}
}

// settleIn takes the next step; nil means that nothing is left to do.
func (r *Replica) settleIn() error {
	ctx, cancel := context.WithTimeout(r.ctx, r.timing.Confirm)
	defer cancel()
	if len(r.servers()) == 0 {
		return r.formOrJoin(ctx)
	}
	leader := r.leaderName()
	n, _, known := node(r.fsm.View(), r.name)
	switch {
	case leader != "" && known && n.same(r.id.record()) && r.outcast.Load() == nil:
		return nil
	case r.reign.Load() != nil:
		return r.join(ctx, r.id.record())
	case leader != "" && leader != r.name:
		_, err := call[empty](ctx, r, leader, methodJoin, empty{})
		return r.heedRefusal(err)
	}
	// Without a leader, as a node is when the others dropped it, the others say how it stands.
	return r.joinAnywhere(ctx, r.askStatus(ctx))
}

// formOrJoin is for a node without state.
func (r *Replica) formOrJoin(ctx context.Context) error {
	peers := r.askStatus(ctx)
	servers, err := formation(r.id.cfg.Peers, r.name, r.status(), peers)
	switch {
	case err != nil:
		return err
	case servers == nil:
		return r.joinAnywhere(ctx, peers)
	case r.id.cfg.Dir.ClusterID() != "":
		return errorf(KindRefused, "this node was part of a cluster but has lost its log; it waits for a member to let it join again")
	}
	r.log.Info("forming the cluster", "servers", servers)
	if err := await(ctx, r.raft.BootstrapCluster(raft.Configuration{Servers: servers})); err != nil {
		return errorf(KindNoQuorum, "forming the cluster: %v", err)
	}
	return nil
}

// formation decides whether the node called name, which has no state and whose own answer is own,
// forms the cluster: its first servers. Only the first name of the list does, and only when every
// node of the list is there, has the same list and no state. None and no error: one has state, which
// shows that the cluster was formed already.
func formation(list []Peer, name string, own statusAnswer, peers map[string]statusAnswer) ([]raft.Server, error) {
	first := true
	var servers []raft.Server
	for _, p := range list {
		answer, ok := peers[p.Name]
		if p.Name == name {
			answer, ok = own, true
		} else if ok && answer.HasState {
			return nil, nil
		}
		first = first && name <= p.Name
		switch {
		case ok && answer.List != own.List:
			return nil, errorf(KindRefused, "node %s expects other peers than this node does: the lists in the configurations must be equal", p.Name)
		case ok:
			servers = append(servers, raft.Server{ID: raft.ServerID(answer.NodeID), Address: raft.ServerAddress(p.Name)})
		}
	}
	switch {
	case len(servers) < len(list) || len(list) == 0:
		return nil, errorf(KindNoQuorum, "%d of %d expected nodes were found", len(servers), len(list))
	case !first:
		return nil, errorf(KindNoQuorum, "the first node of the list forms the cluster")
	}
	return servers, nil
}

// joinAnywhere asks the leader that the peers name to take this node in.
func (r *Replica) joinAnywhere(ctx context.Context, peers map[string]statusAnswer) error {
	err := error(errorf(KindNoQuorum, "the cluster has no leader now"))
	asked := map[string]bool{"": true, r.name: true}
	for _, answer := range peers {
		if asked[answer.Leader] {
			continue
		}
		asked[answer.Leader] = true
		if _, err = call[empty](ctx, r, answer.Leader, methodJoin, empty{}); err == nil {
			return nil
		}
	}
	return r.heedRefusal(err)
}

// heedRefusal remembers that the others refuse this node, for it to say so.
func (r *Replica) heedRefusal(err error) error {
	if KindOf(err) == KindRefused {
		why := err.Error()
		r.outcast.Store(&why)
	}
	return err
}

// askStatus asks every node that is expected or known.
func (r *Replica) askStatus(ctx context.Context) map[string]statusAnswer {
	names := map[string]bool{}
	for _, p := range r.id.cfg.Peers {
		names[p.Name] = true
	}
	for name := range nodes(r.fsm.View()) {
		names[name] = true
	}
	delete(names, r.name)
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		answers = map[string]statusAnswer{} // guarded by mu
	)
	for name := range names {
		wg.Go(func() {
			answer, err := call[statusAnswer](ctx, r, name, methodStatus, empty{})
			if r.heedRefusal(err) == nil {
				mu.Lock()
				answers[name] = answer
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return answers
}

// status is this node's answer to askStatus.
func (r *Replica) status() statusAnswer {
	return statusAnswer{
		NodeID: r.nodeID, List: r.id.listHash(), Leader: r.leaderName(),
		HasState: len(r.servers()) > 0 || r.raft.LastIndex() > 0 || r.id.cfg.Dir.ClusterID() != "",
	}
}
