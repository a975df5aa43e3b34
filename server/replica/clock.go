package replica

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

type systemClock struct{}

// Wall implements Clock.
func (systemClock) Wall() time.Time { return time.Now() }

// Boot implements Clock with CLOCK_BOOTTIME.
func (systemClock) Boot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("the kernel has no CLOCK_BOOTTIME: " + err.Error()) // Linux before 2.6.39
	}
	return time.Duration(ts.Nano())
}

const (
	clockTolerance = 10 * time.Second // off the voters' median by more: no scheduled work
	clockJump      = 2 * time.Second  // a clock that moved so much against time passed has jumped
	clockFresh     = 10 * time.Second // older samples do not count
)

// sample is a node's wall clock at a moment of this node's boot clock.
type sample struct {
	wall int64 // ms
	boot time.Duration
}

// at extrapolates the wall clock.
func (s sample) at(boot time.Duration) int64 { return s.wall + (boot - s.boot).Milliseconds() }

// timeline is a clock that runs on from one reading.
type timeline = sample

// clocks is what a leader knows of the voters' clocks. Stamps follow their median and time passed,
// never one clock.
type clocks struct {
	samples map[string]sample // by node id
	line    timeline          // the last good median
	stamp   int64             // the last stamp given
	jumped  time.Duration     // boot time at which a clock was last seen to jump; 0: not in this reign
}

// newClocks begins at the log time known at the election: until a majority has told its clock,
// stamps go on from there.
func newClocks(logTime int64, now time.Duration) clocks {
	return clocks{samples: map[string]sample{}, line: timeline{wall: logTime, boot: now}, stamp: logTime}
}

// note keeps a sample and sees whether that clock jumped.
func (c *clocks) note(id string, s sample) {
	if old, ok := c.samples[id]; ok {
		if moved := s.wall - old.at(s.boot); moved > clockJump.Milliseconds() || -moved > clockJump.Milliseconds() {
			c.jumped = s.boot
		}
	}
	c.samples[id] = s
}

// recent returns the readings of voters at now that are fresh.
func (c *clocks) recent(voters []string, now time.Duration) (walls []int64) {
	for _, id := range voters {
		if s, ok := c.samples[id]; ok && now-s.boot <= clockFresh {
			walls = append(walls, s.at(now))
		}
	}
	return walls
}

// median is the voters' median clock at now; of an even number the earlier of the two in the middle,
// since log time can be late but never goes back. While less than a majority is heard of, the last
// median runs on.
func (c *clocks) median(voters []string, now time.Duration) int64 {
	if walls := c.recent(voters, now); len(walls) > len(voters)/2 {
		slices.Sort(walls)
		c.line = timeline{wall: walls[(len(walls)-1)/2], boot: now}
	}
	return c.line.at(now)
}

// next is the stamp of an entry logged now: the median, never before an earlier stamp.
func (c *clocks) next(voters []string, now time.Duration) int64 {
	c.stamp = max(c.stamp, c.median(voters, now))
	return c.stamp
}

// due reports whether a majority of the voters say that t has passed.
func (c *clocks) due(voters []string, now time.Duration, t int64) bool {
	n := 0
	for _, wall := range c.recent(voters, now) {
		if wall >= t {
			n++
		}
	}
	return n > len(voters)/2
}

func (r *Replica) voterIDs() (ids []string) {
	for _, s := range r.voters() {
		ids = append(ids, string(s.ID))
	}
	return ids
}

// noteClock keeps what a voter told, halfway between question and answer.
func (r *Replica) noteClock(g *reign, id string, wall int64, boot time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clocks.note(id, sample{wall: wall, boot: boot})
}

func (r *Replica) noteOwnClock(g *reign) {
	r.noteClock(g, r.nodeID, r.clock.Wall().UnixMilli(), r.clock.Boot())
}

// stamp is the log time, in ms, of an entry that the leader logs now.
func (r *Replica) stamp(g *reign) int64 {
	voters := r.voterIDs()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.clocks.next(voters, r.clock.Boot())
}

// median is the voters' median clock now.
func (r *Replica) median(g *reign) int64 {
	voters := r.voterIDs()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.clocks.median(voters, r.clock.Boot())
}

// LogNow is the time in Unix milliseconds that a proposal made now would get, as far as known here.
func (r *Replica) LogNow() int64 {
	now := r.fsm.View().LogTime()
	if g := r.reign.Load(); g != nil {
		return max(now, r.median(g))
	}
	if line := r.timeline.Load(); line != nil {
		now = max(now, line.at(r.clock.Boot()))
	}
	return now
}

// clockOffset is this node's clock against the voters' median, as the leader last told it.
func (r *Replica) clockOffset() (offset time.Duration, known bool) {
	line := r.timeline.Load()
	if line == nil {
		return 0, false
	}
	return time.Duration(r.clock.Wall().UnixMilli()-line.at(r.clock.Boot())) * time.Millisecond, true
}

// clockOK reports whether this node's clock is known to agree with the voters' median.
func (r *Replica) clockOK() bool {
	offset, known := r.clockOffset()
	return known && offset.Abs() <= clockTolerance
}

// calm reports whether the last election and the last jump of a clock are long enough ago.
func (r *Replica) calm(g *reign) bool {
	now := r.clock.Boot()
	g.mu.Lock()
	defer g.mu.Unlock()
	return now-g.since >= r.timing.Calm && (g.clocks.jumped == 0 || now-g.clocks.jumped >= r.timing.Calm)
}

// Due reports, on the leader, whether a majority of the voters say that t (Unix milliseconds) has
// passed, in calm times and by a clock of this node that agrees with theirs: what irreversible work
// has to ask before it is proposed.
func (r *Replica) Due(t int64) bool {
	g := r.reign.Load()
	if g == nil || !r.clockOK() || !r.calm(g) {
		return false
	}
	voters := r.voterIDs()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.clocks.due(voters, r.clock.Boot(), t)
}
