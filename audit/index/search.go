package index

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
)

// noTime stands before every time.
const noTime = math.MinInt64

// Query says which records are looked for. An empty field asks for nothing; of several, all are asked for.
type Query struct {
	From, To  int64  // eventTime, ms since 1970, both included; To 0: no end
	Principal string // ARN of the caller or of the role of its session; what does not begin with "arn:", its principal id or access key id
	Key       string // ARN of a resource
	Event     string // eventName
	Source    string // sourceIPAddress
	Error     string // errorCode
	RequestID string
	EventID   string
	Account   string // recipientAccountId, or the account of a resource
	ReadOnly  *bool

	// Visible is the account to whom a record has to belong in the sense of Account besides, and that is shown it; without one
	// and without All nothing is found. All lets every record be found, those that belong to nobody too, and shows it whole.
	// Of a refused call, resources of other accounts are neither shown nor found by Key or Account: that they are there is not
	// told to who may not use them.
	Visible string
	All     bool

	After *Position // nil: from the newest
	Limit int       // of records
	Bytes int       // of their lines, but for the first one
}

// Position is a place in a trail, newest records first. It compares, no more: one that never was is harmless.
type Position struct {
	Time   int64  // the time of the place, ms since 1970; see the package's notes on order
	File   uint64 // which file; 0: the place is before the records of Time
	Offset int64  // of the record's line in it
	With   bool   // with File 0: the records of Time come after it
}

// Hit is one record.
type Hit struct {
	Line []byte // as it stands in the file, without its newline
	Time int64  // eventTime, ms since 1970
	At   Position
}

// Page is what a search found, newest first.
type Page struct {
	Hits []Hit
	// More is where a search goes on that stopped for its limits or for the end of its context: everything that comes
	// before it was looked at. Nil: there is nothing more.
	More *Position
	// Partial says that something of the trail could not be read, so that there may be records that were not found.
	Partial bool
}

// Search looks for records. It first brings the index up to date. When ctx ends after that, the page has what was found until
// then. What cannot be read is left out. The errors are ErrBehind, and those of the directory and of the index files.
func (x *Index) Search(ctx context.Context, q Query) (Page, error) {
	if q.Limit = max(q.Limit, 1); !q.All && q.Visible == "" {
		return Page{}, nil
	}
	for attempt := 0; ; attempt++ {
		files, whole, err := x.snapshot(ctx)
		if err != nil {
			return Page{}, err
		}
		s := &search{ctx: ctx, q: q, predicates: q.compile(), page: Page{Partial: !whole}}
		err = s.files(files)
		if err == nil {
			return s.page, nil
		}
		if attempt == 3 {
			return Page{}, err
		}
		switch {
		case errors.Is(err, errDamaged):
			if err := x.forget(ctx, s.log); err != nil {
				return Page{}, err
			}
		case passing(err): // rotated, or removed, since
		default:
			return Page{}, err
		}
	}
}

// predicate asks that one of some columns that stand together has a value.
type predicate struct {
	column, count int
	want, mask    uint32
	asked, held   int // rows of which it was asked so far, and of which it was true
}

// cost is how many columns are read for making the rows fewer by a factor of e. A chunk is done with when no row is left, so
// what comes to that by the fewest columns is asked first.
func (p *predicate) cost() float64 {
	return float64(p.count) / -math.Log((float64(p.held)+0.5)/(float64(p.asked)+1))
}

// compile returns what is asked of the columns, what few records have first.
func (q *Query) compile() (all []predicate) {
	add := func(column, count int, text string) {
		if text != "" {
			all = append(all, predicate{column: column, count: count, want: hashText([]byte(text)), mask: math.MaxUint32})
		}
	}
	add(colEventID, 1, q.EventID)
	add(colRequestID, 1, q.RequestID)
	add(colResource, 2, q.Key)
	if isARN(q.Principal) {
		add(colPrincipal, 2, q.Principal)
	} else {
		add(colPrincipalID, 2, q.Principal)
	}
	add(colError, 1, q.Error)
	add(colSource, 1, q.Source)
	if q.Event != "" || q.ReadOnly != nil {
		p := predicate{column: colEvent, count: 1}
		if q.Event != "" {
			p.want, p.mask = hashEvent([]byte(q.Event), false), math.MaxUint32-1
		}
		if q.ReadOnly != nil {
			p.mask |= 1
			if *q.ReadOnly {
				p.want |= 1
			}
		}
		all = append(all, p)
	}
	add(colAccount, 3, q.Account)
	if !q.All {
		add(colAccount, 3, q.Visible)
	}
	return all
}

// matches compares what the columns have hashes of.
func (q *Query) matches(f *fields) bool {
	is := func(want string, texts ...[]byte) bool {
		return want == "" || slices.ContainsFunc(texts, func(t []byte) bool { return string(t) == want })
	}
	r := f.resources
	for i := range r {
		if q.hides(f, &r[i]) {
			r[i] = resource{}
		}
	}
	principals := [][]byte{f.principalID, f.accessKeyID}
	if isARN(q.Principal) {
		principals = [][]byte{f.arn, f.issuer}
	}
	return f.timed && f.at >= q.From && (q.To == 0 || f.at <= q.To) &&
		is(q.Principal, principals...) && is(q.Key, r[0].arn, r[1].arn) &&
		is(q.Event, f.event) && is(q.Source, f.source) && is(q.Error, f.errorCode) && is(q.RequestID, f.requestID) && is(q.EventID, f.eventID) &&
		is(q.Account, f.account, r[0].account, r[1].account) && (q.All || q.Visible != "" && is(q.Visible, f.account, r[0].account, r[1].account)) &&
		(q.ReadOnly == nil || *q.ReadOnly == f.readOnly)
}

func isARN(s string) bool { return strings.HasPrefix(s, "arn:") }

// hides reports whether a resource of the record is not shown.
func (q *Query) hides(f *fields, r *resource) bool {
	return !q.All && len(f.errorCode) > 0 && r.at.to > 0 && string(r.account) != q.Visible
}

// shown returns a copy of the line as it is shown; nil when it cannot be, since it is not of our form.
func (q *Query) shown(line []byte, f *fields) []byte {
	const name = `,"resources":`
	var kept []byte
	hidden := false
	for i := range f.resources {
		if r := &f.resources[i]; q.hides(f, r) {
			hidden = true
		} else if r.at.to > 0 {
			kept = append(append(kept, ','), line[r.at.from:r.at.to]...)
		}
	}
	if !hidden {
		return bytes.Clone(line)
	}
	before, ok := bytes.CutSuffix(line[:f.listed.from], []byte(name))
	if !ok || f.more || line[f.listed.to-1] != ']' {
		return nil
	}
	out := bytes.Clone(before)
	if kept != nil {
		kept[0] = '['
		out = append(append(append(out, name...), kept...), ']')
	}
	return append(out, line[f.listed.to:]...)
}

// search is one search while it runs.
type search struct {
	ctx        context.Context
	q          Query
	predicates []predicate
	page       Page
	bytes      int

	log   *logFile // that is looked at
	floor int64    // the time of the places before it
	file  *os.File // log; nil until a line is read
	index *os.File // its index; nil until it is needed
	w     window
	found bitmap
	any   bitmap
	times []int64 // of the places of the rows of a chunk; empty until they are needed
	line  []byte
	rec   fields
}

// files looks through the files, oldest first, from the last one.
func (s *search) files(files []*logFile) error {
	floors := make([]int64, len(files))
	floor := int64(noTime)
	reached := s.q.After == nil || s.q.After.File == 0
	for i, f := range files {
		floors[i] = floor
		floor = max(floor, f.high())
		reached = reached || f.id() == s.q.After.File
	}
	if !reached { // its file is gone, and all that came after it
		s.q.After = &Position{Time: s.q.After.Time}
	}
	for i := len(files) - 1; i >= 0; i-- {
		f := files[i]
		if a := s.q.After; a != nil && a.File != 0 {
			if f.id() != a.File && s.log == nil {
				continue // newer than the position
			}
		}
		s.log, s.floor = f, floors[i]
		err := s.chunks()
		s.close()
		if err != nil || s.page.More != nil {
			return err
		}
	}
	return nil
}

func (s *search) close() {
	if s.file != nil {
		s.file.Close()
	}
	if s.index != nil {
		s.index.Close()
	}
	s.file, s.index = nil, nil
}

// chunks looks through one file from its end.
func (s *search) chunks() error {
	f := s.log
	if f.partial != nil {
		if err := s.chunk(f.partial); err != nil || s.page.More != nil {
			return err
		}
	}
	for i := len(f.chunks) - 1; i >= 0; i-- {
		c := f.chunks[i]
		if c.high() < s.q.From {
			return nil // and so is everything before it
		}
		if err := s.chunk(c); err != nil || s.page.More != nil {
			return err
		}
	}
	return nil
}

// chunk looks through one chunk from its end.
func (s *search) chunk(c *chunk) error {
	if s.passed(c) {
		return nil
	}
	if s.ctx.Err() != nil { // everything up to the last row of this chunk was looked at
		s.page.More = &Position{Time: max(s.floor, c.high()), File: s.log.id(), Offset: c.end}
		return nil
	}
	if c.greatest < s.q.From || s.q.To != 0 && c.least > s.q.To {
		return nil
	}
	if err := s.open(c); err != nil {
		return err
	}
	rows, err := s.before(c)
	if err != nil {
		return err
	}
	s.found.fill(rows)
	if c.least < s.q.From || s.q.To != 0 && c.greatest > s.q.To {
		if err := s.inTime(c); err != nil {
			return err
		}
	}
	left := s.found.count()
	for i := range s.predicates {
		if left == 0 {
			break
		}
		p := &s.predicates[i]
		if err := s.ask(c, p, left); err != nil {
			return err
		}
		p.asked += left
		left = s.found.count()
		p.held += left
	}
	// The next chunk is asked first for what narrowed this one for the fewest columns: the others are often not read at all.
	slices.SortStableFunc(s.predicates, func(a, b predicate) int { return cmp.Compare(a.cost(), b.cost()) })
	if left == 0 {
		return nil
	}
	return s.rows(c)
}

// ask keeps the rows of which a predicate is true. There are left.
func (s *search) ask(c *chunk, p *predicate, left int) error {
	s.any = bitmap{}
	for i := p.column; i < p.column+p.count; i++ {
		if c.zero&(1<<i) != 0 && p.want != 0 {
			continue
		}
		column, err := s.w.column(i)
		if err != nil {
			return err
		}
		if left < maxRows/8 {
			s.any.pick(column, &s.found, p.want, p.mask)
		} else {
			s.any.match(column, &s.found, p.want, p.mask)
		}
	}
	s.found.and(&s.any)
	return nil
}

// passed reports whether the whole chunk is before the position from which the search goes on.
func (s *search) passed(c *chunk) bool {
	a := s.q.After
	switch {
	case a == nil:
		return false
	case a.File == s.log.id():
		return c.start >= a.Offset
	case a.File != 0:
		return false
	default:
		return !s.after(c.before)
	}
}

// after reports whether a place of that time comes after the position from which the search goes on, which names a time.
func (s *search) after(at int64) bool {
	at = max(at, s.floor)
	return at < s.q.After.Time || s.q.After.With && at == s.q.After.Time
}

// before returns how many rows of the chunk come after the position from which the search goes on.
func (s *search) before(c *chunk) (int, error) {
	a := s.q.After
	switch {
	case a == nil:
		return c.rows, nil
	case a.File == s.log.id():
		if c.end <= a.Offset {
			return c.rows, nil
		}
		offsets, err := s.w.column(colOffset)
		if err != nil {
			return 0, err
		}
		for i := range c.rows {
			if c.start+int64(value(offsets, i)) >= a.Offset {
				return i, nil
			}
		}
		return c.rows, nil
	case a.File != 0 || s.after(c.high()):
		return c.rows, nil
	}
	times, err := s.w.column(colTime)
	if err != nil {
		return 0, err
	}
	high := c.before
	for i := range c.rows {
		high = max(high, c.base+int64(int32(value(times, i))))
		if !s.after(high) {
			return i, nil
		}
	}
	return c.rows, nil
}

// inTime keeps the rows whose times are asked for.
func (s *search) inTime(c *chunk) error {
	times, err := s.w.column(colTime)
	if err != nil {
		return err
	}
	for i := range c.rows {
		if at := c.base + int64(int32(value(times, i))); at < s.q.From || s.q.To != 0 && at > s.q.To {
			s.found.drop(i)
		}
	}
	return nil
}

// rows reads the lines of the rows that were found, from the last one.
func (s *search) rows(c *chunk) error {
	s.times = s.times[:0]
	first := s.found.last(c.rows)
	for i := first; i >= 0; i = s.found.last(i) {
		at, err := s.place(c, i)
		if err != nil {
			return err
		}
		if i < first && s.ctx.Err() != nil { // everything behind this row was looked at
			s.page.More = &Position{Time: at.Time, File: at.File, Offset: at.Offset + 1}
			return nil
		}
		line, err := s.read(c, i, at.Offset)
		if errors.Is(err, errUnreadable) {
			s.page.Partial = true
			continue
		}
		if err != nil {
			return err
		}
		if !scan(line, &s.rec) || !s.q.matches(&s.rec) {
			continue
		}
		shown := s.q.shown(line, &s.rec)
		if shown == nil {
			continue
		}
		if n := len(s.page.Hits); n == s.q.Limit || n > 0 && s.bytes+len(shown) > s.q.Bytes {
			last := s.page.Hits[n-1].At
			s.page.More = &last
			return nil
		}
		s.bytes += len(shown)
		s.page.Hits = append(s.page.Hits, Hit{shown, s.rec.at, at})
	}
	return nil
}

// place returns the place of a row.
func (s *search) place(c *chunk, row int) (Position, error) {
	offsets, err := s.w.column(colOffset)
	if err != nil {
		return Position{}, err
	}
	if len(s.times) == 0 {
		times, err := s.w.column(colTime)
		if err != nil {
			return Position{}, err
		}
		at := max(s.floor, c.before)
		for i := range row + 1 {
			at = max(at, c.base+int64(int32(value(times, i))))
			s.times = append(s.times, at)
		}
	}
	return Position{Time: s.times[row], File: s.log.id(), Offset: c.start + int64(value(offsets, row))}, nil
}

// open turns the window to a chunk.
func (s *search) open(c *chunk) error {
	if c == s.log.partial {
		s.w.open(nil, s.log.tail, c)
		return nil
	}
	if s.index == nil {
		var err error
		if s.index, err = os.Open(s.log.index); err != nil {
			if errors.Is(err, fs.ErrNotExist) { // somebody deleted it
				return errDamaged
			}
			return err
		}
	}
	s.w.open(s.index, nil, c)
	return nil
}

// errUnreadable says that a line is where it was, and cannot be read.
var errUnreadable = errors.New("the audit file cannot be read")

// read returns the line of a row, which stands at offset.
func (s *search) read(c *chunk, row int, offset int64) ([]byte, error) {
	offsets, err := s.w.column(colOffset)
	if err != nil {
		return nil, err
	}
	end := c.end
	if row+1 < c.rows {
		end = c.start + int64(value(offsets, row+1))
	}
	if offset >= end || end > s.log.end {
		return nil, errDamaged
	}
	if s.file == nil {
		if s.file, err = os.Open(s.log.path); errors.Is(err, fs.ErrNotExist) {
			return nil, err
		} else if err != nil {
			return nil, errUnreadable
		}
		if info, err := s.file.Stat(); err != nil || inodeOf(info) != s.log.inode {
			return nil, errMoved
		}
	}
	n := int(min(end-offset, maxLine+1)) // lines that are no records may stand behind it
	s.line = slices.Grow(s.line[:0], n)[:n]
	switch _, err := s.file.ReadAt(s.line, offset); {
	case errors.Is(err, io.EOF):
		return nil, errMoved // it became shorter
	case err != nil:
		return nil, errUnreadable
	}
	if n := bytes.IndexByte(s.line, '\n'); n >= 0 {
		return s.line[:n], nil
	}
	return nil, nil
}
