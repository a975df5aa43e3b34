package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lockstep-kms/lockstep/api/client"
)

// print writes v as JSON, or calls table.
func (a *app) print(v any, table func(w io.Writer)) error {
	if a.output == "json" {
		return printJSON(a.out, v)
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	table(w)
	return w.Flush()
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printChanged is print for a change: it also says who may still honour the old state.
func (a *app) printChanged(v any, meta *client.Meta, table func(w io.Writer)) error {
	if err := a.print(v, table); err != nil {
		return err
	}
	switch {
	case len(meta.Awaiting) > 0:
		return fmt.Errorf("the change is made, but these nodes may still honour the old state: %s", strings.Join(meta.Awaiting, ", "))
	case meta.Awaiting != nil:
		return errors.New("the change is made, but it is unknown which nodes may still honour the old state")
	default:
		return nil
	}
}

// row writes the cells of one table row.
func row(w io.Writer, cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, cell(c))
	}
	fmt.Fprintln(w)
}

func cell(c any) string {
	switch c := c.(type) {
	case time.Time:
		return c.UTC().Format(time.RFC3339)
	case bool:
		if c {
			return "yes"
		}
		return "no"
	case []byte:
		return base64.StdEncoding.EncodeToString(c)
	default:
		if s := fmt.Sprint(c); s != "" {
			return s
		}
		return "-"
	}
}

// pairs writes NAME value lines.
func pairs(w io.Writer, cells ...any) {
	for i := 0; i+1 < len(cells); i += 2 {
		row(w, cells[i], cells[i+1])
	}
}

// maxInput bounds what a command reads from a file or standard input. The largest thing there is to
// read is a ciphertext of 6144 bytes in base64.
const maxInput = 1 << 20

// input returns the content of file, or of standard input when file is empty or "-".
func (a *app) input(file string) ([]byte, error) {
	r := a.in
	if file != "" && file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxInput {
		return nil, fmt.Errorf("the input is larger than %d bytes", maxInput)
	}
	return b, nil
}

// decodeBase64 decodes standard base64 with blanks and newlines around and inside it.
func decodeBase64(b []byte) ([]byte, error) {
	out, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(b), nil)))
	if err != nil {
		return nil, fmt.Errorf("the input is not standard base64")
	}
	return out, nil
}

// parseContext turns NAME=VALUE flags into an encryption context.
func parseContext(given []string) (map[string]string, error) {
	if len(given) == 0 {
		return nil, nil
	}
	context := map[string]string{}
	for _, kv := range given {
		name, value, ok := strings.Cut(kv, "=")
		if _, twice := context[name]; !ok || twice {
			return nil, usageError{fmt.Errorf("the encryption context %q is not NAME=VALUE with a name of its own", kv)}
		}
		context[name] = value
	}
	return context, nil
}
