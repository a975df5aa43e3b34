package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// Summary describes a set of durations.
type Summary struct {
	N             int
	P50, P99, Max time.Duration
}

// Summarize sorts all.
func Summarize(all []time.Duration) Summary {
	if len(all) == 0 {
		return Summary{}
	}
	slices.Sort(all)
	return Summary{len(all), percentile(all, 50), percentile(all, 99), all[len(all)-1]}
}

// String renders milliseconds.
func (s Summary) String() string {
	return fmt.Sprintf("p50 %7.2f ms  p99 %7.2f ms  max %7.2f ms  (%d)", milliseconds(s.P50), milliseconds(s.P99), milliseconds(s.Max), s.N)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// percentile returns the smallest value of ascending that p percent of them do not exceed.
func percentile(ascending []time.Duration, p int) time.Duration {
	return ascending[max(0, (len(ascending)*p+99)/100-1)]
}

// Median returns the middle of at least one value, the mean of the two middle ones when even.
func Median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// Environment describes what figures are measured on.
func Environment() string {
	return fmt.Sprintf("%s, %d CPUs (%s), %s/%s", runtime.Version(), runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH)
}

// Fsync measures the disk under dir: n times, a page of one file is written again and made durable
// by fdatasync(2), which is what bbolt does twice for each of its transactions.
func Fsync(dir string, n int) (_ Summary, err error) {
	f, err := os.CreateTemp(dir, "fsync-*")
	if err != nil {
		return Summary{}, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	const pages = 64
	if _, err := f.Write(make([]byte, pages<<12)); err != nil {
		return Summary{}, err
	}
	page := make([]byte, 1<<12)
	all := make([]time.Duration, n)
	for i := range all {
		page[0] = byte(i)
		start := time.Now()
		if _, err := f.WriteAt(page, int64(i%pages)<<12); err != nil {
			return Summary{}, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return Summary{}, err
		}
		all[i] = time.Since(start)
	}
	return Summarize(all), nil
}
