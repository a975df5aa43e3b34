package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/trace"
)

// Every component has the level that is configured for it, else the one for all.
func TestLogLevels(t *testing.T) {
	var out bytes.Buffer
	l := newLogs(LogConfig{Level: "info", Format: "text", Levels: []string{"raft=warn", "service=debug"}}, "n1", nil, &out)
	for _, component := range []string{"raft", "service", "api"} {
		log := l.of(component)
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
			log.Log(t.Context(), level, fmt.Sprint(component, " says ", level))
		}
	}
	got := out.String()
	for text, want := range map[string]bool{"raft says DEBUG": false, "raft says INFO": false, "raft says WARN": true, "service says DEBUG": true,
		"api says DEBUG": false, "api says INFO": true, "node=n1 component=api": true} {
		if strings.Contains(got, text) != want {
			t.Errorf("%q: %v in\n%s", text, !want, got)
		}
	}
}

// A line that is written for a request names it, in either format, beside the attributes and groups that it has.
func TestLogsNameTheRequest(t *testing.T) {
	id, _ := trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	for _, row := range []struct {
		request trace.Request
		want    map[string]any
	}{
		{trace.Request{ID: "r1", Trace: id}, map[string]any{"request_id": "r1", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}},
		{trace.Request{ID: "r1"}, map[string]any{"request_id": "r1"}},
		{trace.Request{Trace: id}, map[string]any{"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}},
		{trace.Request{}, map[string]any{}},
	} {
		var out bytes.Buffer
		log := newLogs(LogConfig{Level: "info", Format: "json"}, "n1", nil, &out).of("service").With("a", "b")
		ctx := context.Context(t.Context())
		if row.request != (trace.Request{}) {
			ctx = trace.With(ctx, row.request)
		}
		log.InfoContext(ctx, "text", "c", "d")
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]any{"node": "n1", "component": "service", "a": "b", "c": "d", "msg": "text", "level": "INFO"} {
			if line[k] != v {
				t.Errorf("%s is %v", k, line[k])
			}
		}
		for _, k := range []string{"request_id", "trace_id"} {
			if line[k] != row.want[k] {
				t.Errorf("%+v: %s is %v", row.request, k, line[k])
			}
		}
	}
}

// A logger that a test gives decides what it takes; a level of a component narrows it.
func TestGivenLogger(t *testing.T) {
	var out bytes.Buffer
	given := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l := newLogs(LogConfig{Level: "error", Levels: []string{"raft=warn"}}, "n1", given, nil)
	l.of("api").Debug("seen")
	l.of("raft").Info("not seen")
	if got := out.String(); !strings.Contains(got, "msg=seen") || strings.Contains(got, "not seen") {
		t.Error(got)
	}
}

func TestLogConfig(t *testing.T) {
	for _, row := range []struct {
		levels []string
		says   string
	}{
		{nil, ""},
		{[]string{"raft=warn", "api=debug"}, ""},
		{[]string{"raft"}, `log.levels[0]: "" is not one of`},
		{[]string{"api=info", "raft=loud"}, `log.levels[1]: "loud" is not one of`},
		{[]string{"nobody=info"}, `"nobody" is none of the components api, audit,`},
		{[]string{"raft=info", "raft=warn"}, "raft has a level already"},
	} {
		var said []string
		c := LogConfig{Level: "info", Format: "json", Levels: row.levels}
		c.validate(func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
		if got := strings.Join(said, "\n"); row.says == "" && got != "" || !strings.Contains(got, row.says) {
			t.Errorf("%v: %q", row.levels, got)
		}
	}
}
