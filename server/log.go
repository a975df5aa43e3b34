package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"

	"github.com/lockstep-kms/lockstep/trace"
)

// components are the parts of a node whose log levels can be set apart.
var components = []string{"api", "audit", "catalog", "fsm", "gossip", "node", "oidc", "raft", "replica", "seal", "service", "storage", "transport"}

// logs makes the loggers of a node's components, all over one handler. Immutable.
type logs struct {
	to     slog.Handler
	level  slog.Level // of components that have none of their own
	levels map[string]slog.Level
}

// newLogs writes to w as a validated configuration says; a logger that is given stands in for w, and its level for the
// configured one.
func newLogs(c LogConfig, node string, given *slog.Logger, w io.Writer) *logs {
	l := &logs{level: levelOf(c.Level), levels: map[string]slog.Level{}}
	for _, one := range c.Levels {
		component, level, _ := strings.Cut(one, "=")
		l.levels[component] = levelOf(level)
	}
	all := &slog.HandlerOptions{Level: slog.Level(math.MinInt)} // what is written is decided before it
	switch {
	case given != nil:
		l.to, l.level = given.Handler(), slog.Level(math.MinInt)
	case c.Format == "json":
		l.to = slog.NewJSONHandler(w, all)
	default:
		l.to = slog.NewTextHandler(w, all)
	}
	l.to = l.to.WithAttrs([]slog.Attr{slog.String("node", node)})
	return l
}

func levelOf(name string) (level slog.Level) {
	_ = level.UnmarshalText([]byte(name)) // validated
	return level
}

// of returns the logger of a component.
func (l *logs) of(component string) *slog.Logger {
	level, own := l.levels[component]
	if !own {
		level = l.level
	}
	return slog.New(logHandler{l.to, level}).With("component", component)
}

// logHandler writes lines from a level on, each with the request that it was written for and the trace that this is part of.
type logHandler struct {
	slog.Handler
	level slog.Level
}

// Enabled implements slog.Handler.
func (h logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, line slog.Record) error {
	r := trace.From(ctx)
	if r != (trace.Request{}) {
		line = line.Clone()
	}
	if r.ID != "" {
		line.AddAttrs(slog.String("request_id", r.ID))
	}
	if id := r.Trace.String(); id != "" {
		line.AddAttrs(slog.String("trace_id", id))
	}
	return h.Handler.Handle(ctx, line)
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.Handler.WithGroup(name), h.level}
}

var logLevels = []string{"debug", "info", "warn", "error"}

// validate refuses levels and formats that there are not.
func (c *LogConfig) validate(bad func(string, ...any)) {
	oneOf(bad, "log.level", c.Level, logLevels...)
	oneOf(bad, "log.format", c.Format, "text", "json")
	seen := map[string]bool{}
	for i, one := range c.Levels {
		at := fmt.Sprintf("log.levels[%d]", i)
		component, level, _ := strings.Cut(one, "=")
		switch {
		case !slices.Contains(components, component):
			bad("%s: %q is none of the components %s", at, component, strings.Join(components, ", "))
		case seen[component]:
			bad("%s: %s has a level already", at, component)
		default:
			oneOf(bad, at, level, logLevels...)
		}
		seen[component] = true
	}
}
