package iamcmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

func (a commands) simulate() *cobra.Command {
	return a.ask("simulate", "Say what would be decided, and by which policy",
		"Says whether a principal may do something, and which policy decides that. Nothing is done.", verdictTable)
}

func (a commands) explain() *cobra.Command {
	return a.ask("explain", "Say in sentences what would be decided, and why",
		"Says in sentences what 'lockstep policy simulate' says in a table.", sentences)
}

// ask is a command that asks what would be decided.
func (a commands) ask(use, short, long string, table func(io.Writer, *kms.Verdict)) *cobra.Command {
	r := &kms.SimulateRequest{}
	var context []string
	cmd := &cobra.Command{Use: use, Short: short,
		Long: long + ` The exit status is 0 whatever the answer is.

Condition keys that are not given with --context are absent, but for those that the principal and the key have.
Statements that have no Sid are counted from 0.`,
		Example: fmt.Sprintf(`  lockstep policy %s --principal arn:aws:iam::111122223333:user/ann --action kms:Encrypt --resource alias/app
  lockstep policy %s --principal arn:aws:iam::111122223333:role/shop --action kms:Decrypt --resource alias/app --context aws:SourceIp=10.0.0.1`, use, use)}
	f := cmd.Flags()
	f.StringVar(&r.PrincipalARN, "principal", "", "ARN of the user or role")
	f.StringVar(&r.Action, "action", "", "what it would do, such as kms:Encrypt")
	f.StringVar(&r.Resource, "resource", "", "with what: a key id, key ARN, alias or another ARN (default *)")
	f.StringArrayVar(&context, "context", nil, "condition key as NAME=VALUE; repeatable, also for another value of the same key")
	_ = cmd.MarkFlagRequired("principal")
	_ = cmd.MarkFlagRequired("action")
	cli.Complete(cmd, "action", actions())
	return run(a, cmd, answering(kms.OpSimulatePrincipalPolicy, (*client.Client).SimulatePrincipalPolicy), r, func([]string) (err error) {
		r.Context, err = conditions(context)
		return err
	}, func(w io.Writer, answer *kms.SimulateAnswer) { table(w, &answer.Verdict) })
}

// conditions turns NAME=VALUE flags into condition keys.
func conditions(given []string) (map[string][]string, error) {
	if len(given) == 0 {
		return nil, nil
	}
	keys := map[string][]string{}
	for _, kv := range given {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			return nil, cli.Misuse("the condition key %q is not NAME=VALUE", kv)
		}
		keys[name] = append(keys[name], value)
	}
	return keys, nil
}

// statement says which statement of a policy decided: its Sid or its number from 0 on.
func statement(v *kms.Verdict) string {
	switch {
	case v.StatementID != "":
		return v.StatementID
	case v.Statement != nil:
		return fmt.Sprintf("number %d", *v.Statement)
	default:
		return ""
	}
}

func verdictTable(w io.Writer, v *kms.Verdict) {
	cli.Pairs(w, "DECISION", v.Decision, "REASON", v.Reason)
	cli.Given(w, "SOURCE", v.Source, "POLICY", v.PolicyID, "STATEMENT", statement(v), "GRANT", v.GrantID)
}

// sentences prints a verdict one sentence a line.
func sentences(w io.Writer, v *kms.Verdict) {
	may := "may not"
	if v.Decision == "allowed" {
		may = "may"
	}
	resource := v.Resource
	if resource == "" {
		resource = "*"
	}
	fmt.Fprintf(w, "%s %s do %s on %s (%s).\n", v.PrincipalARN, may, v.Action, resource, v.Decision)
	fmt.Fprintln(w, v.Reason)
	decides := strings.TrimSpace(v.Source + " " + v.PolicyID)
	if at := statement(v); at != "" {
		decides = "statement " + at + " of the " + decides
	}
	if v.GrantID != "" {
		decides = "grant " + v.GrantID
	}
	if decides != "" {
		fmt.Fprintf(w, "The %s decides.\n", decides)
	}
}

func (a commands) whoCan() *cobra.Command {
	r := &kms.WhoCanRequest{}
	var others []string
	cmd := &cobra.Command{Use: "who-can KEY ACTION", Short: "List who may do something with a key, and what allows it",
		Long: `Lists the users and roles of the account that may do ACTION with a key, and what allows it. Principals of other
accounts that the key policy names come last: whether they may is for their own policies to say, too.

` + cli.KeyHelp,
		Example: "  lockstep who-can alias/app kms:Decrypt\n  lockstep who-can alias/app kms:ScheduleKeyDeletion -o json"}
	return list(a, cmd, answering(kms.OpWhoCan, (*client.Client).WhoCan), r, cli.Page{Limit: &r.Limit, Marker: &r.Marker}, into(&r.KeyID, &r.Action),
		func(all *kms.WhoCanAnswer) (*[]kms.Verdict, *string) {
			others = append(others, all.Others...) // each page has its own
			all.Others = others
			return &all.Allowed, &all.NextMarker
		},
		func(w io.Writer, allowed []kms.Verdict) {
			cli.Row(w, "PRINCIPAL", "SOURCE", "POLICY", "STATEMENT", "GRANT")
			for i := range allowed {
				v := &allowed[i]
				cli.Row(w, v.PrincipalARN, v.Source, v.PolicyID, statement(v), v.GrantID)
			}
			for _, other := range others {
				cli.Row(w, other, "another account or service")
			}
		})
}
