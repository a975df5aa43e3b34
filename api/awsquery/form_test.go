package awsquery

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

func TestParseForm(t *testing.T) {
	many := strings.Builder{}
	for i := range maxPairs + 1 {
		fmt.Fprintf(&many, "p%d=&", i)
	}
	tests := map[string]struct {
		body string
		want form
		code kms.Code
	}{
		"empty":          {"", form{}, ""},
		"two":            {"Action=GetUser&Version=2010-05-08", form{"Action": "GetUser", "Version": "2010-05-08"}, ""},
		"escapes":        {"a%2Eb=x%20y+z%26", form{"a.b": "x y z&"}, ""},
		"no value":       {"Tags&x=", form{"Tags": "", "x": ""}, ""},
		"blank pairs":    {"&&a=1&", form{"a": "1"}, ""},
		"equal signs":    {"a=b=c", form{"a": "b=c"}, ""},
		"semicolon":      {"a=1;b=2", form{"a": "1;b=2"}, ""},
		"twice":          {"a=1&b=2&a=1", form{"a": "1", "b": "2"}, kms.CodeInvalidRequest},
		"twice, escaped": {"a=1&%61=2", form{"a": "1"}, kms.CodeInvalidRequest},
		"bad escape":     {"a=%zz", form{}, kms.CodeInvalidRequest},
		"cut escape":     {"a=%4", form{}, kms.CodeInvalidRequest},
		"no UTF-8":       {"a=%ff", form{}, kms.CodeInvalidRequest},
		"no name":        {"=1", form{}, kms.CodeInvalidRequest},
		"long name":      {strings.Repeat("n", maxName+1) + "=1", form{}, kms.CodeInvalidRequest},
		"too many":       {many.String(), nil, kms.CodeInvalidRequest},
	}
	for name, tt := range tests {
		got, err := parseForm(tt.body)
		if kms.CodeOf(err) != tt.code || tt.want != nil && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "%4") {
			t.Errorf("%s: the message has the value: %v", name, err)
		}
	}
}

type sample struct {
	ofUser
	Count *int `is:"900-43200"`
	Flag  bool
	Words []string `is:"0-2;1-3,word"`
	Tags  tagList  `is:"0-50"`
	Scope string   `is:"All|Local"`
	Note  *string  `is:"0-5"`
}

func TestDecode(t *testing.T) {
	one := func(n int) *int { return &n }
	text := func(s string) *string { return &s }
	ann := ofUser{"ann"}
	tests := map[string]struct {
		body string
		want sample
		err  string
	}{
		"all": {"UserName=ann&Count=900&Flag=true&Words.member.1=a&Words.member.2=b&Tags.member.1.Key=k&Tags.member.1.Value=&Scope=All&Note=",
			sample{ann, one(900), true, []string{"a", "b"}, tagList{{"k", ""}}, "All", text("")}, ""},
		"least":       {"UserName=ann", sample{ofUser: ann}, ""},
		"empty lists": {"UserName=ann&Tags=&Words=", sample{ofUser: ann}, ""},

		"nothing":        {"", sample{}, "1 validation error detected: Value null at 'userName' failed to satisfy constraint: Member must not be null"},
		"empty":          {"UserName=", sample{}, "2 validation errors detected: Value at 'userName' failed to satisfy constraint: Member must have length greater than or equal to 1; Value at 'userName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]+"},
		"long":           {"UserName=" + strings.Repeat("a", 65), sample{}, "Value at 'userName' failed to satisfy constraint: Member must have length less than or equal to 64"},
		"characters":     {"UserName=a+b", sample{}, "Member must satisfy regular expression pattern: [\\w+=,.@-]+"},
		"low":            {"UserName=ann&Count=899", sample{}, "Value at 'count' failed to satisfy constraint: Member must have value greater than or equal to 900"},
		"high":           {"UserName=ann&Count=43201", sample{}, "Value at 'count' failed to satisfy constraint: Member must have value less than or equal to 43200"},
		"enum":           {"UserName=ann&Scope=AWS", sample{}, "Value at 'scope' failed to satisfy constraint: Member must satisfy enum value set: [All, Local]"},
		"member":         {"UserName=ann&Words.member.1=abcd", sample{}, "Value at 'words.1.member' failed to satisfy constraint: Member must have length less than or equal to 3"},
		"too many":       {"UserName=ann&Words.member.1=a&Words.member.2=a&Words.member.3=a", sample{}, "Value at 'words' failed to satisfy constraint: Member must have length less than or equal to 2"},
		"in a structure": {"UserName=ann&Tags.member.1.Key=k", sample{}, "Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be null"},
		"two at once":    {"Count=1", sample{}, "2 validation errors detected: Value null at 'userName' failed to satisfy constraint: Member must not be null; Value at 'count'"},

		"no number":       {"UserName=ann&Count=x", sample{}, "Count is not a number"},
		"large number":    {"UserName=ann&Count=99999999999", sample{}, "Count is not a number"},
		"no truth":        {"UserName=ann&Flag=yes", sample{}, "Flag is not true or false"},
		"list of text":    {"UserName=ann&Tags=x", sample{}, "Tags is a list"},
		"unknown":         {"UserName=ann&SourceIdentity=x", sample{}, "SourceIdentity is not one that is served"},
		"a gap":           {"UserName=ann&Words.member.1=a&Words.member.3=b", sample{}, "Words.member.3 is not one that is served"},
		"from 0":          {"UserName=ann&Words.member.0=a", sample{}, "Words.member.0 is not one"},
		"another number":  {"UserName=ann&Words.member.01=a", sample{}, "Words.member.01 is not one"},
		"inside a scalar": {"UserName=ann&UserName.x=a", sample{}, "UserName.x is not one"},
		"other case":      {"UserName=ann&username=a", sample{}, "username is not one"},
		"keys in cases":   {"UserName=ann&Tags.member.1.Key=k&Tags.member.1.Value=1&Tags.member.2.Key=K&Tags.member.2.Value=2", sample{}, "Duplicate tag keys"},
	}
	for name, tt := range tests {
		f, err := parseForm(tt.body)
		if err != nil {
			t.Fatal(err)
		}
		var got sample
		err = decode(f, &got)
		switch {
		case tt.err == "" && (err != nil || !reflect.DeepEqual(got, tt.want)):
			t.Errorf("%s: %+v, %v", name, got, err)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// However much is wrong with a form, what is said of it is short.
func TestViolationsAreBounded(t *testing.T) {
	body := "UserName=ann"
	for i := range 50 {
		body += fmt.Sprintf("&Tags.member.%d.Key=", i+1)
	}
	f, err := parseForm(body)
	if err != nil {
		t.Fatal(err)
	}
	err = decode(f, new(struct {
		ofUser
		Tags []tag
	}))
	if kms.CodeOf(err) != kms.CodeValidation || len(err.Error()) > 16<<10 || !strings.Contains(err.Error(), "20 validation errors detected: ") {
		t.Errorf("%v", err)
	}
}

// Every tag of every shape means something.
func TestShapes(t *testing.T) {
	var check func(name string, shape reflect.Type)
	rules := func(name, is string) {
		for rule := range strings.SplitSeq(is, ",") {
			low, high, ranged := bounds(rule)
			_, patterned := patterns[rule]
			if rule != "" && rule != "required" && rule != "never" && !strings.Contains(rule, "|") && !patterned && !(ranged && low <= high) {
				t.Errorf("%s: what is %q?", name, rule)
			}
		}
	}
	check = func(name string, shape reflect.Type) {
		for i := range shape.NumField() {
			field := shape.Field(i)
			at := name + "." + field.Name
			kind := field.Type
			if kind.Kind() == reflect.Pointer {
				kind = kind.Elem()
			}
			whole, each, list := strings.Cut(field.Tag.Get("is"), ";")
			rules(at, whole)
			rules(at, each)
			switch kind.Kind() {
			case reflect.Struct:
				if !field.Anonymous && field.Tag.Get("aws") != "inline" {
					t.Errorf("%s is a structure that is a parameter", at)
				}
				check(at, kind)
			case reflect.Slice:
				if kind.Elem().Kind() == reflect.Struct {
					check(at, kind.Elem())
				} else if kind.Elem().Kind() != reflect.String {
					t.Errorf("%s is a list of %s", at, kind.Elem())
				}
			case reflect.String, reflect.Int, reflect.Bool:
				if list {
					t.Errorf("%s has rules of a list", at)
				}
			default:
				t.Errorf("%s is a %s", at, kind)
			}
		}
	}
	for _, o := range operations() {
		shape, _ := o.decode(form{})
		check(o.op.Name, reflect.TypeOf(shape).Elem())
	}
}

// Whatever is sent, decoding ends, makes no more than was sent, and refuses or understands all of it.
func FuzzDecode(f *testing.F) {
	f.Add(0, "Action=AssumeRole&RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=s&Tags.member.1.Key=a&Tags.member.1.Value=b&PolicyArns.member.1.arn=p")
	f.Add(1, "UserName=ann&Tags.member.1.Key=a&Tags.member.1.Value=%C3%A9&Tags.member.2.Key=b")
	f.Add(2, "Tags=&Words.member.99999999999999999999=x&a.member.1.member.1=y&&=&%")
	all := operations()
	f.Fuzz(func(t *testing.T, n int, body string) {
		parsed, err := parseForm(body)
		if len(parsed) > maxPairs || len(parsed) > strings.Count(body, "&")+1 {
			t.Fatalf("%d parameters of %q", len(parsed), body)
		}
		if err != nil {
			if kms.CodeOf(err) != kms.CodeInvalidRequest {
				t.Fatal(err)
			}
			return
		}
		o := all[uint(n)%uint(len(all))]
		shape, err := o.decode(parsed)
		switch kms.CodeOf(err) {
		case "":
			if n := len(o.requests(shape)); n < 1 || n > maxSimulated {
				t.Fatalf("%d requests", n)
			}
		case kms.CodeInvalidRequest, kms.CodeValidation, kms.CodeInvalidTag:
		default:
			t.Fatal(err)
		}
	})
}
