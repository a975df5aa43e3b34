package main

import (
	"crypto/fips140"
	"io"
	"runtime"
	"runtime/debug"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
)

// buildInfo is what 'lockstep version' says.
type buildInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Modified bool   `json:"modified"` // built from a checkout with changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
	FIPS     bool   `json:"fips"` // the FIPS 140-3 mode is on
}

func currentBuild() buildInfo {
	b := buildInfo{Version: version, Commit: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, FIPS: fips140.Enabled()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; b.Version == "dev" && v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func newVersionCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "version", Short: "Print version, commit, Go version and FIPS mode", Args: cobra.NoArgs,
		Example: "  lockstep version\n  GODEBUG=fips140=on lockstep version -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, out := currentBuild(), cmd.OutOrStdout()
			switch output {
			case "json":
				return cli.PrintJSON(out, b)
			case "table":
				return printBuild(out, b)
			default:
				return cli.Misuse("--output is table or json, not %q", output)
			}
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func printBuild(out io.Writer, b buildInfo) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	cli.Pairs(w, "VERSION", b.Version, "COMMIT", b.Commit, "MODIFIED", b.Modified, "GO", b.Go, "PLATFORM", b.Platform, "FIPS MODE", b.FIPS)
	return w.Flush()
}
