// Command lookup measures how long the first page of a search in an audit trail takes on one node.
//
// It makes a trail of records as a node writes them, in files as a node rotates them, has package audit/index make its index,
// and searches: for values that many, few and no records have, each filter alone and in combinations, among them ones whose parts many
// records have but none has all, which are the longest searches. Every search is made several times; the median and the longest are told, and the
// processor time at the median. With -cold each that is shown is made once more after the page cache was dropped, for which it needs
// root on Linux.
//
//	go run ./bench/lookup -records 1000000
//	go run ./bench/lookup -records 10000000 -dir /var/tmp -cold
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lockstep-kms/lockstep/audit/index"
	"github.com/lockstep-kms/lockstep/bench/lab"
)

// options are the command's flags.
type options struct {
	records  int
	fileSize int64
	dir      string
	combined int
	repeat   int
	cold     bool
}

const pageSize = 100

func main() {
	var o options
	flag.IntVar(&o.records, "records", 1_000_000, "records of the trail")
	flag.Int64Var(&o.fileSize, "file-size", 256<<20, "bytes at which the file is rotated")
	flag.StringVar(&o.dir, "dir", "", "where the trail is made, and removed afterwards: about 1 KB a record; default: the system's temporary directory")
	flag.IntVar(&o.combined, "combined", 300, "random combinations of filters that are measured")
	flag.IntVar(&o.repeat, "repeat", 5, "times that each search is made")
	flag.BoolVar(&o.cold, "cold", false, "also search after dropping the page cache (root, Linux)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "lookup:", err)
		stop()
		os.Exit(1)
	}
}

// run makes the trail, measures and prints. What it made is gone when it returns.
func run(ctx context.Context, o options) (err error) {
	if o.records < 1 || o.repeat < 1 || o.fileSize < 1<<20 {
		return errors.New("-records and -repeat are at least 1, -file-size is at least 1 MiB")
	}
	dir, err := os.MkdirTemp(o.dir, "lockstep-lookup-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "audit.jsonl")
	fmt.Printf("%s\n", lab.Environment())
	start := time.Now()
	files, size, err := writeTrail(ctx, path, o.records, o.fileSize)
	if err != nil {
		return err
	}
	fmt.Printf("%d records, %.2f GB in %d files, %.0f B a record, made in %.1f s\n", o.records, float64(size)/1e9, files, float64(size)/float64(o.records), time.Since(start).Seconds())

	x, err := build(ctx, path, o.records)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	if err := searches(ctx, x, o, "alone", single()); err != nil {
		return err
	}
	return searches(ctx, x, o, "combined", combinations(o.combined))
}

// build makes the index and tells what it costs.
func build(ctx context.Context, path string, records int) (*index.Index, error) {
	before := heap()
	start, spent := time.Now(), cpuTime()
	x := index.Open(index.Options{Path: path})
	stats, err := x.Stats(ctx)
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	took, cpu := time.Since(start), cpuTime()-spent
	if stats.Records != int64(records) || stats.Skipped != 0 {
		return nil, errors.Join(fmt.Errorf("the index has %d records and skipped %d lines, %d records were written", stats.Records, stats.Skipped, records), x.Close())
	}
	var size int64
	names, _ := filepath.Glob(filepath.Join(path+".index", "*"))
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			size += info.Size()
		}
	}
	fmt.Printf("index: made in %.1f s, %.2f us of CPU a record, %.1f B a record on disk, %.2f B a record in memory beside %.1f MB\n",
		took.Seconds(), cpu.Seconds()*1e6/float64(records), float64(size)/float64(records), max(0, heap()-before-fixed)/float64(records), fixed/1e6)
	start = time.Now()
	if err := x.Close(); err != nil {
		return nil, err
	}
	x = index.Open(index.Options{Path: path})
	if _, err := x.Stats(ctx); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	fmt.Printf("restart: %.0f ms\n", time.Since(start).Seconds()*1e3)
	return x, nil
}

// fixed is what an index has in memory whatever the size of the trail: a block that is read, a chunk that is filled.
const fixed = 1<<20 + 16*4096*4

// heap reads the live heap.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// question is a search with a name.
type question struct {
	name  string
	query index.Query
}

// searches measures questions and prints a row for each, or of many the distribution and the longest.
func searches(ctx context.Context, x *index.Index, o options, title string, questions []question) error {
	type result struct {
		question
		hits          int
		median, worst time.Duration
		cpu           time.Duration // at the median
		cold          time.Duration
	}
	var all []result
	for _, q := range questions {
		q.query.Limit, q.query.Bytes, q.query.All = pageSize, 2<<20, q.query.Visible == ""
		r := result{question: q}
		var took, cpu []time.Duration
		for range o.repeat + 1 { // the first one warms
			start, spent := time.Now(), cpuTime()
			page, err := x.Search(ctx, q.query)
			if err != nil {
				return err
			}
			took, cpu = append(took, time.Since(start)), append(cpu, cpuTime()-spent)
			r.hits = len(page.Hits)
		}
		took, cpu = took[1:], cpu[1:]
		slices.Sort(took)
		slices.Sort(cpu)
		r.median, r.worst, r.cpu = took[len(took)/2], took[len(took)-1], cpu[len(cpu)/2]
		all = append(all, r)
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1e3) }
	fmt.Printf("\n%s, first page of %d\n\n| search | records on the page | median ms | CPU ms | longest ms | cold ms |\n|---|---|---|---|---|---|\n", title, pageSize)
	slices.SortStableFunc(all, func(a, b result) int { return int(b.cpu - a.cpu) })
	shown := all
	if title != "alone" {
		shown = all[:min(len(all), 10)]
	}
	for i := range shown {
		r := &shown[i]
		if o.cold {
			if err := dropCache(); err != nil {
				return err
			}
			start := time.Now()
			if _, err := x.Search(ctx, r.query); err != nil {
				return err
			}
			r.cold = time.Since(start)
		}
		fmt.Printf("| %s | %d | %s | %s | %s | %s |\n", r.name, r.hits, ms(r.median), ms(r.cpu), ms(r.worst), ms(r.cold))
	}
	quantile := func(of func(result) time.Duration, q float64) string {
		var d []time.Duration
		for _, r := range all {
			d = append(d, of(r))
		}
		slices.Sort(d)
		return ms(d[int(q*float64(len(d)-1))])
	}
	median := func(r result) time.Duration { return r.median }
	fmt.Printf("\n%d searches: p50 %s, p99 %s, longest median %s, longest single %s; CPU p50 %s, most %s\n", len(all), quantile(median, 0.5), quantile(median, 0.99), quantile(median, 1),
		quantile(func(r result) time.Duration { return r.worst }, 1), quantile(func(r result) time.Duration { return r.cpu }, 0.5), quantile(func(r result) time.Duration { return r.cpu }, 1))
	return nil
}

// cpuTime is what this process has had of the processors: on a machine that does other things too it tells more than a clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// dropCache makes the kernel forget the files.
func dropCache() error {
	syscall.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// values are what filters ask for: what many records have, few, and none.
var values = map[string][3]string{
	"principal": {principal(0), principal(principals - 1), principal(principals)},
	"key":       {key(0), key(keys - 1), key(keys)},
	"event":     {"Decrypt", "ScheduleKeyDeletion", "DeriveSharedSecret"},
	"source":    {source(0), source(sources - 1), "192.0.2.1"},
	"error":     {"access_denied", "conflict", "no_quorum"},
	"account":   {account(0), account(accounts - 1), "999999999999"},
}

var kinds = [3]string{"many", "few", "none"}

func set(q *index.Query, filter, value string) {
	switch filter {
	case "principal":
		q.Principal = value
	case "key":
		q.Key = value
	case "event":
		q.Event = value
	case "source":
		q.Source = value
	case "error":
		q.Error = value
	case "account":
		q.Visible = value // as a tenant asks
	}
}

// single is every filter alone.
func single() []question {
	all := []question{{name: "nothing"}, {"request id, none", index.Query{RequestID: "none"}}, {"event id, none", index.Query{EventID: "none"}},
		{"event id, the first of all", index.Query{EventID: eventID(0)}}, {"request id, the first of all", index.Query{RequestID: requestID(0)}},
		{"time, the oldest hour", index.Query{From: epoch.UnixMilli(), To: epoch.Add(time.Hour).UnixMilli()}}}
	for _, filter := range []string{"principal", "key", "event", "source", "error", "account"} {
		for i, value := range values[filter] {
			q := question{name: filter + ", " + kinds[i]}
			set(&q.query, filter, value)
			all = append(all, q)
		}
	}
	return all
}

// combinations are ones that many records have in part and none has whole, then random ones.
func combinations(n int) []question {
	many := func(but string, filters ...string) question {
		var q question
		for _, f := range filters {
			set(&q.query, f, values[f][0])
		}
		if but == "key" { // its principals are others
			q.query.Key = key(1)
		}
		q.name = strings.Join(filters, " + ") + ", each many, together none"
		return q
	}
	all := []question{many("key", "principal", "key"), many("key", "principal", "key", "account"), many("key", "principal", "key", "event", "source", "account"),
		many("key", "principal", "key", "event", "source", "error", "account")}
	random := rand.New(rand.NewPCG(1, 2))
	for len(all) < n {
		var q question
		var parts []string
		for _, filter := range []string{"principal", "key", "event", "source", "error", "account"} {
			if random.IntN(2) == 0 {
				continue
			}
			i := random.IntN(8) // mostly what many have: those search longest
			i = max(0, i-5)
			value := values[filter][i]
			if i == 0 && filter == "key" {
				value = key(random.IntN(4))
			}
			set(&q.query, filter, value)
			parts = append(parts, filter+" "+kinds[i])
		}
		if random.IntN(4) == 0 {
			b := random.IntN(2) == 0
			q.query.ReadOnly = &b
			parts = append(parts, fmt.Sprintf("read only %v", b))
		}
		q.name = strings.Join(parts, ", ")
		all = append(all, q)
	}
	return all
}
