package awsquery

import (
	"slices"
	"strings"

	"github.com/lockstep-kms/lockstep/kms"
)

// maxSimulated is how many actions times resources one request asks about.
const maxSimulated = 100

type (
	contextEntry struct {
		ContextKeyName   string   `is:"required,5-256"`
		ContextKeyValues []string `is:"required"`
		ContextKeyType   string   `is:"required,string|stringList|numeric|numericList|boolean|booleanList|ip|ipList|binary|binaryList|date|dateList"`
	}

	contextList []contextEntry

	simulatePrincipalPolicy struct {
		PolicySourceArn string      `is:"required,20-2048,arn"`
		ActionNames     []string    `is:"required,1-100;3-128"`
		ResourceArns    []string    `is:";1-2048"`
		ContextEntries  contextList `is:"0-100"`
		whole
	}

	matchedStatement struct {
		SourcePolicyId   string
		SourcePolicyType string
	}

	evaluation struct {
		EvalActionName       string
		EvalResourceName     string
		EvalDecision         string
		MatchedStatements    []matchedStatement
		MissingContextValues nothing
	}

	simulationResult struct {
		EvaluationResults []evaluation
		IsTruncated       bool
	}
)

// check refuses a key that is given twice, of which the question would lose one. Names of context keys have no case.
func (l contextList) check() error {
	for i, e := range l {
		if slices.ContainsFunc(l[:i], func(before contextEntry) bool { return strings.EqualFold(before.ContextKeyName, e.ContextKeyName) }) {
			return kms.Errorf(kms.CodeValidation, "The context key %s is given twice.", kms.Printable(e.ContextKeyName))
		}
	}
	return nil
}

// resources are the resources that are asked about: everything when none is named.
func (s *simulatePrincipalPolicy) resources() []string {
	if len(s.ResourceArns) == 0 {
		return []string{"*"}
	}
	return s.ResourceArns
}

// simulation asks the service one question for each action and resource, as many as it answers at once.
func simulation() *operation {
	return &operation{api: iam, op: kms.OpSimulatePrincipalPolicy,
		decode: func(f form) (any, error) {
			s := new(simulatePrincipalPolicy)
			err := decode(f, s)
			if err == nil && len(s.ActionNames)*len(s.resources()) > maxSimulated {
				err = kms.Errorf(kms.CodeValidation, "A simulation asks about at most %d pairs of an action and a resource.", maxSimulated)
			}
			return s, err
		},
		requests: func(shape any) (all []any) {
			s := shape.(*simulatePrincipalPolicy)
			context := map[string][]string{}
			for _, e := range s.ContextEntries {
				context[e.ContextKeyName] = e.ContextKeyValues
			}
			for _, action := range s.ActionNames {
				for _, resource := range s.resources() {
					all = append(all, &kms.SimulateRequest{PrincipalARN: s.PolicySourceArn, Action: action, Resource: resource, Context: context})
				}
			}
			return all
		},
		result: func(shape any, answers []any) any {
			s, resources := shape.(*simulatePrincipalPolicy), shape.(*simulatePrincipalPolicy).resources()
			r := &simulationResult{}
			for i, a := range answers {
				v := &a.(*kms.SimulateAnswer).Verdict
				e := evaluation{EvalActionName: s.ActionNames[i/len(resources)], EvalResourceName: resources[i%len(resources)], EvalDecision: v.Decision}
				if v.PolicyID != "" {
					e.MatchedStatements = []matchedStatement{{v.PolicyID, policyType(v)}}
				}
				r.EvaluationResults = append(r.EvaluationResults, e)
			}
			return r
		}}
}

// policyType says of what kind the policy is that decided, in IAM's words. An inline policy is named by its holder's ARN.
func policyType(v *kms.Verdict) string {
	if slices.Contains([]string{"key policy", "trust policy"}, v.Source) {
		return "resource"
	}
	for _, kind := range []string{"user", "group", "role"} {
		if strings.Contains(v.PolicyID, ":"+kind+"/") {
			return kind
		}
	}
	return "user-managed"
}
