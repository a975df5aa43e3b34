package lab

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ, which is 100 on every Linux that Go runs on.
const tick = time.Second / 100

// CPUTime returns the user and system time that all threads of a process have spent.
func CPUTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStat(stat)
}

// parseStat reads utime and stime, fields 14 and 15 of proc_pid_stat(5). The command name, field 2,
// stands in parentheses and may hold blanks and parentheses of its own.
func parseStat(stat []byte) (time.Duration, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // from field 3 on
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc stat has %d fields after the name", len(fields))
	}
	var sum time.Duration
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc stat: %w", err)
		}
		sum += time.Duration(ticks) * tick
	}
	return sum, nil
}

// Memory is what a process has resident, in bytes.
type Memory struct {
	Anonymous int64 // heap and stacks
	Files     int64 // mapped files, which the kernel may drop: the log's among them
}

// MemoryOf reads a process's memory.
func MemoryOf(pid int) (Memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, err
	}
	return parseStatus(string(status))
}

// parseStatus reads proc_pid_status(5).
func parseStatus(status string) (m Memory, err error) {
	found := 0
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		to := map[string]*int64{"RssAnon": &m.Anonymous, "RssFile": &m.Files}[name]
		if to == nil {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return m, fmt.Errorf("/proc status: %w", err)
		}
		*to, found = kib<<10, found+1
	}
	if found != 2 {
		return m, fmt.Errorf("/proc status names %d of RssAnon and RssFile", found)
	}
	return m, nil
}

// processor names the machine's CPU.
func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}
