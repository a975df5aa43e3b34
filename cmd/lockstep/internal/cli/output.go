package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/kms"
)

// Print writes v as JSON, or calls table.
func (a *App) Print(v any, table func(w io.Writer)) error {
	if a.output == "json" {
		return PrintJSON(a.Out, v)
	}
	w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// PrintJSON writes v, indented.
func PrintJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// PrintChanged is print for a change: it also says who may still honour the old state.
func (a *App) PrintChanged(v any, meta *client.Meta, table func(w io.Writer)) error {
	if err := a.Print(v, table); err != nil {
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

// Row writes the cells of one table row.
func Row(w io.Writer, cells ...any) {
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
	case *time.Time:
		if c == nil {
			return "-"
		}
		return cell(*c)
	case []byte:
		return base64.StdEncoding.EncodeToString(c)
	default:
		if s := fmt.Sprint(c); s != "" {
			return s
		}
		return "-"
	}
}

// Pairs writes NAME value lines.
func Pairs(w io.Writer, cells ...any) {
	for i := 0; i+1 < len(cells); i += 2 {
		Row(w, cells[i], cells[i+1])
	}
}

// Given writes NAME value lines of what is there: no empty text, false, zero or nil.
func Given(w io.Writer, cells ...any) {
	for i := 0; i+1 < len(cells); i += 2 {
		if v := reflect.ValueOf(cells[i+1]); v.IsValid() && !v.IsZero() {
			Row(w, cells[i], cells[i+1])
		}
	}
}

// Words returns a list on one line.
func Words[T ~string](list []T) string {
	var b strings.Builder
	for i, s := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(s))
	}
	return b.String()
}

// maxInput bounds what a command reads from a file or standard input. The largest thing there is to
// read is a ciphertext of 6144 bytes in base64.
const maxInput = 1 << 20

// JSON reports whether answers are printed as JSON.
func (a *App) JSON() bool { return a.output == "json" }

// Input returns the content of file, or of standard input when file is empty or "-".
func (a *App) Input(file string) ([]byte, error) {
	r := a.In
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

// Document returns the policy document in file, or on standard input when file is empty or "-", as it is
// written: positions in messages about it are then those of the file.
func (a *App) Document(file string) (kms.PolicyDocument, error) {
	b, err := a.Input(file)
	name := file
	if file == "" || file == "-" {
		name = "standard input"
	}
	switch {
	case err != nil:
		return "", err
	case len(bytes.TrimSpace(b)) == 0:
		return "", fmt.Errorf("%s holds no policy document", name)
	case !utf8.Valid(b):
		return "", fmt.Errorf("%s is not UTF-8", name)
	}
	return kms.PolicyDocument(b), nil
}

// Lines returns text with a newline at its end, so that it is as it was and a terminal's prompt is apart.
func Lines(text string) []byte {
	return append([]byte(strings.TrimSuffix(text, "\n")), '\n')
}

// DecodeBase64 decodes standard base64 with blanks and newlines around and inside it.
func DecodeBase64(b []byte) ([]byte, error) {
	out, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(b), nil)))
	if err != nil {
		return nil, fmt.Errorf("the input is not standard base64")
	}
	return out, nil
}

// ParseContext turns NAME=VALUE flags into an encryption context.
func ParseContext(given []string) (map[string]string, error) {
	return parsePairs("encryption context", given)
}

// ParseTags turns NAME=VALUE arguments into tags.
func ParseTags(given []string) (map[string]string, error) { return parsePairs("tag", given) }

func parsePairs(what string, given []string) (map[string]string, error) {
	if len(given) == 0 {
		return nil, nil
	}
	pairs := map[string]string{}
	for _, kv := range given {
		name, value, ok := strings.Cut(kv, "=")
		if _, twice := pairs[name]; !ok || twice {
			return nil, Misuse("the %s %q is not NAME=VALUE with a name of its own", what, kv)
		}
		pairs[name] = value
	}
	return pairs, nil
}

// Context renders an encryption context on one line.
func Context(context map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(context)) {
		list = append(list, name+"="+context[name])
	}
	return strings.Join(list, ", ")
}
