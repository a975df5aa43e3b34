package policy

import "testing"

// conditionRow is a Condition, the keys of a request, and whether the statement applies. doubt marks
// a row whose answer depends on a variable without a value: an Allow does not apply, a Deny does.
type conditionRow struct {
	condition string
	keys      keys
	want      bool
	doubt     bool
}

type conditionGroup struct {
	page string // of the IAM User Guide, or of the KMS Developer Guide
	rows []conditionRow
}

func TestConditions(t *testing.T) {
	for _, group := range conditionGroups() {
		for _, row := range group.rows {
			allow := Query{
				Request:  Request{Action: "kms:Encrypt", Resource: keyARN, Caller: userOf(account, "alice"), Context: row.keys},
				Identity: []*Document{identity(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{`+row.condition+`}}`)},
			}
			if got := Evaluate(&allow).Allow(); got != (row.want && !row.doubt) {
				t.Errorf("%s\n%s with %v: Allow applies: %v", group.page, row.condition, row.keys, got)
			}
			deny := allow
			deny.Identity = []*Document{
				identity(t, `{"Effect":"Allow","Action":"*","Resource":"*"}`),
				identity(t, `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{`+row.condition+`}}`),
			}
			if got := Evaluate(&deny).Effect == ExplicitDeny; got != (row.want || row.doubt) {
				t.Errorf("%s\n%s with %v: Deny applies: %v", group.page, row.condition, row.keys, got)
			}
		}
	}
}

func conditionGroups() []conditionGroup {
	return []conditionGroup{stringRows, arnRows, numericRows, dateRows, boolRows, binaryRows, addressRows, nullRows, ifExistsRows, setRows, combinedRows, variableRows, keyNameRows}
}

var stringRows = conditionGroup{"reference_policies_elements_condition_operators.html#Conditions_String", []conditionRow{
	{condition: `"StringEquals":{"aws:username":"alice"}`, keys: keys{"aws:username": {"alice"}}, want: true},
	{condition: `"StringEquals":{"aws:username":"alice"}`, keys: keys{"aws:username": {"Alice"}}},
	{condition: `"StringEquals":{"aws:username":"alice"}`, keys: keys{"aws:username": {"bob"}}},
	{condition: `"StringEquals":{"aws:username":"alice"}`, keys: keys{"aws:username": {"alice "}}},
	{condition: `"StringEquals":{"aws:username":"alice"}`, keys: keys{}},
	{condition: `"StringEquals":{"aws:username":"alice"}`},
	{condition: `"StringEquals":{"aws:username":["bob","alice"]}`, keys: keys{"aws:username": {"alice"}}, want: true},
	{condition: `"StringEquals":{"aws:username":["bob","carol"]}`, keys: keys{"aws:username": {"alice"}}},
	{condition: `"StringEquals":{"aws:username":"*"}`, keys: keys{"aws:username": {"alice"}}},
	{condition: `"StringEquals":{"aws:username":"*"}`, keys: keys{"aws:username": {"*"}}, want: true},
	{condition: `"StringEquals":{"aws:username":"al?ce"}`, keys: keys{"aws:username": {"alice"}}},
	{condition: `"StringEquals":{"aws:username":""}`, keys: keys{"aws:username": {""}}, want: true},
	{condition: `"StringEquals":{"aws:username":""}`, keys: keys{"aws:username": {"alice"}}},
	{condition: `"StringEquals":{"aws:username":12}`, keys: keys{"aws:username": {"12"}}, want: true},
	{condition: `"StringEquals":{"aws:username":true}`, keys: keys{"aws:username": {"true"}}, want: true},
	{condition: `"stringequals":{"aws:username":"alice"}`, keys: keys{"aws:username": {"alice"}}, want: true},
	{condition: `"StringNotEquals":{"aws:username":"alice"}`, keys: keys{"aws:username": {"alice"}}},
	{condition: `"StringNotEquals":{"aws:username":"alice"}`, keys: keys{"aws:username": {"bob"}}, want: true},
	{condition: `"StringNotEquals":{"aws:username":"alice"}`, keys: keys{"aws:username": {"Alice"}}, want: true},
	{condition: `"StringNotEquals":{"aws:username":["alice","bob"]}`, keys: keys{"aws:username": {"bob"}}},
	{condition: `"StringNotEquals":{"aws:username":["alice","bob"]}`, keys: keys{"aws:username": {"carol"}}, want: true},
	{condition: `"StringNotEquals":{"aws:username":"alice"}`, keys: keys{}, want: true},
	{condition: `"StringNotEquals":{"aws:username":"alice"}`, want: true},
	{condition: `"StringEqualsIgnoreCase":{"aws:username":"alice"}`, keys: keys{"aws:username": {"ALICE"}}, want: true},
	{condition: `"StringEqualsIgnoreCase":{"aws:username":"ALICE"}`, keys: keys{"aws:username": {"alice"}}, want: true},
	{condition: `"StringEqualsIgnoreCase":{"aws:username":"alice"}`, keys: keys{"aws:username": {"alicia"}}},
	{condition: `"StringEqualsIgnoreCase":{"aws:username":"al*"}`, keys: keys{"aws:username": {"ALICE"}}},
	{condition: `"StringEqualsIgnoreCase":{"aws:username":"alice"}`, keys: keys{}},
	{condition: `"StringEqualsIgnoreCase":{"aws:username":"müller"}`, keys: keys{"aws:username": {"MÜLLER"}}, want: true},
	{condition: `"StringNotEqualsIgnoreCase":{"aws:username":"alice"}`, keys: keys{"aws:username": {"ALICE"}}},
	{condition: `"StringNotEqualsIgnoreCase":{"aws:username":"alice"}`, keys: keys{"aws:username": {"bob"}}, want: true},
	{condition: `"StringNotEqualsIgnoreCase":{"aws:username":"alice"}`, keys: keys{}, want: true},
	{condition: `"StringLike":{"aws:username":"al*"}`, keys: keys{"aws:username": {"alice"}}, want: true},
	{condition: `"StringLike":{"aws:username":"al*"}`, keys: keys{"aws:username": {"al"}}, want: true},
	{condition: `"StringLike":{"aws:username":"al*"}`, keys: keys{"aws:username": {"Alice"}}},
	{condition: `"StringLike":{"aws:username":"*ce"}`, keys: keys{"aws:username": {"alice"}}, want: true},
	{condition: `"StringLike":{"aws:username":"*ce"}`, keys: keys{"aws:username": {"alices"}}},
	{condition: `"StringLike":{"aws:username":"a*c*"}`, keys: keys{"aws:username": {"alice"}}, want: true},
	{condition: `"StringLike":{"aws:username":"a*b*c"}`, keys: keys{"aws:username": {"abcbd"}}},
	{condition: `"StringLike":{"aws:username":"a*b*c"}`, keys: keys{"aws:username": {"abcbc"}}, want: true},
	{condition: `"StringLike":{"aws:username":"a?ice"}`, keys: keys{"aws:username": {"alice"}}, want: true},
	{condition: `"StringLike":{"aws:username":"a?ice"}`, keys: keys{"aws:username": {"aice"}}},
	{condition: `"StringLike":{"aws:username":"?"}`, keys: keys{"aws:username": {"ü"}}, want: true},
	{condition: `"StringLike":{"aws:username":"?"}`, keys: keys{"aws:username": {""}}},
	{condition: `"StringLike":{"aws:username":"*"}`, keys: keys{"aws:username": {""}}, want: true},
	{condition: `"StringLike":{"aws:username":"*"}`, keys: keys{}},
	{condition: `"StringLike":{"aws:username":"**"}`, keys: keys{"aws:username": {"x"}}, want: true},
	{condition: `"StringLike":{"aws:username":"?*?"}`, keys: keys{"aws:username": {"x"}}},
	{condition: `"StringLike":{"aws:username":"?*?"}`, keys: keys{"aws:username": {"xy"}}, want: true},
	{condition: `"StringLike":{"aws:username":"alice"}`, keys: keys{"aws:username": {"a*e"}}},
	{condition: `"StringLike":{"kms:viaservice":"s3.*.amazonaws.com"}`, keys: keys{"kms:viaservice": {"s3.us-east-1.amazonaws.com"}}, want: true},
	{condition: `"StringLike":{"aws:username":["x","al*"]}`, keys: keys{"aws:username": {"alice"}}, want: true},
	{condition: `"StringLike":{"aws:x:y":"a*d"}`, keys: keys{"aws:x:y": {"a:b/c:d"}}, want: true},
	{condition: `"StringNotLike":{"aws:username":"al*"}`, keys: keys{"aws:username": {"alice"}}},
	{condition: `"StringNotLike":{"aws:username":"al*"}`, keys: keys{"aws:username": {"bob"}}, want: true},
	{condition: `"StringNotLike":{"aws:username":["al*","b*"]}`, keys: keys{"aws:username": {"bob"}}},
	{condition: `"StringNotLike":{"aws:username":"al*"}`, keys: keys{}, want: true},
}}

var arnRows = conditionGroup{"reference_policies_elements_condition_operators.html#Conditions_ARN", []conditionRow{
	{condition: `"ArnEquals":{"aws:principalarn":"` + aliceARN + `"}`, keys: keys{"aws:principalarn": {aliceARN}}, want: true},
	{condition: `"ArnEquals":{"aws:principalarn":"` + aliceARN + `"}`, keys: keys{"aws:principalarn": {aliceARN + "2"}}},
	{condition: `"ArnEquals":{"aws:principalarn":"arn:aws:iam::111122223333:user/*"}`, keys: keys{"aws:principalarn": {aliceARN}}, want: true},
	{condition: `"ArnLike":{"aws:principalarn":"arn:aws:iam::111122223333:user/*"}`, keys: keys{"aws:principalarn": {aliceARN}}, want: true},
	{condition: `"ArnLike":{"aws:principalarn":"arn:aws:iam::*:user/alice"}`, keys: keys{"aws:principalarn": {aliceARN}}, want: true},
	{condition: `"ArnLike":{"aws:principalarn":"arn:*:iam::*:user/alice"}`, keys: keys{"aws:principalarn": {aliceARN}}, want: true},
	{condition: `"ArnLike":{"aws:principalarn":"arn:aws:iam::11112222333?:user/alice"}`, keys: keys{"aws:principalarn": {aliceARN}}, want: true},
	{condition: `"ArnLike":{"aws:principalarn":"arn:aws:iam::*:USER/alice"}`, keys: keys{"aws:principalarn": {aliceARN}}},
	{condition: `"ArnLike":{"aws:sourcearn":"arn:aws:someservice:*:111122223333:finance/*"}`, keys: keys{"aws:sourcearn": {"arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"}}},
	{condition: `"StringLike":{"aws:sourcearn":"arn:aws:someservice:*:111122223333:finance/*"}`, keys: keys{"aws:sourcearn": {"arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"}}, want: true},
	{condition: `"ArnLike":{"aws:sourcearn":"arn:aws:someservice:*:111122223333:finance/*"}`, keys: keys{"aws:sourcearn": {"arn:aws:someservice:us-east-2:111122223333:finance/a:b"}}, want: true},
	{condition: `"ArnLike":{"aws:sourcearn":"arn:aws:s3?:us:111122223333:x"}`, keys: keys{"aws:sourcearn": {"arn:aws:s3::us:111122223333:x"}}},
	{condition: `"ArnLike":{"aws:principalarn":"arn:aws:iam::*"}`, keys: keys{"aws:principalarn": {aliceARN}}, want: true},
	{condition: `"ArnLike":{"aws:principalarn":"*"}`, keys: keys{"aws:principalarn": {aliceARN}}, want: true},
	{condition: `"ArnLike":{"aws:principalarn":"arn:aws:iam::*:user/alice"}`, keys: keys{}},
	{condition: `"ArnLike":{"aws:principalarn":["arn:aws:iam::*:user/bob","arn:aws:iam::*:user/alice"]}`, keys: keys{"aws:principalarn": {aliceARN}}, want: true},
	{condition: `"ArnNotEquals":{"aws:principalarn":"` + aliceARN + `"}`, keys: keys{"aws:principalarn": {aliceARN}}},
	{condition: `"ArnNotEquals":{"aws:principalarn":"` + aliceARN + `"}`, keys: keys{"aws:principalarn": {roleARN}}, want: true},
	{condition: `"ArnNotEquals":{"aws:principalarn":"arn:aws:iam::*:user/*"}`, keys: keys{"aws:principalarn": {aliceARN}}},
	{condition: `"ArnNotLike":{"aws:principalarn":"arn:aws:iam::*:user/*"}`, keys: keys{"aws:principalarn": {aliceARN}}},
	{condition: `"ArnNotLike":{"aws:principalarn":"arn:aws:iam::*:role/*"}`, keys: keys{"aws:principalarn": {aliceARN}}, want: true},
	{condition: `"ArnNotLike":{"aws:principalarn":"arn:aws:iam::*:role/*"}`, keys: keys{}, want: true},
	{condition: `"ArnNotLike":{"aws:principalarn":["arn:aws:iam::*:role/*","arn:aws:iam::*:user/*"]}`, keys: keys{"aws:principalarn": {aliceARN}}},
}}

var numericRows = conditionGroup{"reference_policies_elements_condition_operators.html#Conditions_Numeric", []conditionRow{
	{condition: `"NumericEquals":{"kms:rotationperiodindays":"90"}`, keys: keys{"kms:rotationperiodindays": {"90"}}, want: true},
	{condition: `"NumericEquals":{"kms:rotationperiodindays":90}`, keys: keys{"kms:rotationperiodindays": {"90"}}, want: true},
	{condition: `"NumericEquals":{"kms:rotationperiodindays":90}`, keys: keys{"kms:rotationperiodindays": {"90.0"}}, want: true},
	{condition: `"NumericEquals":{"kms:rotationperiodindays":"090"}`, keys: keys{"kms:rotationperiodindays": {"90"}}, want: true},
	{condition: `"NumericEquals":{"kms:rotationperiodindays":90}`, keys: keys{"kms:rotationperiodindays": {"91"}}},
	{condition: `"NumericEquals":{"kms:rotationperiodindays":[90,91]}`, keys: keys{"kms:rotationperiodindays": {"91"}}, want: true},
	{condition: `"NumericEquals":{"kms:rotationperiodindays":90}`, keys: keys{"kms:rotationperiodindays": {"ninety"}}},
	{condition: `"NumericEquals":{"kms:rotationperiodindays":90}`, keys: keys{"kms:rotationperiodindays": {""}}},
	{condition: `"NumericEquals":{"kms:rotationperiodindays":90}`, keys: keys{}},
	{condition: `"NumericEquals":{"aws:x":"9007199254740993"}`, keys: keys{"aws:x": {"9007199254740992"}}},
	{condition: `"NumericEquals":{"aws:x":"0.5"}`, keys: keys{"aws:x": {"0.50"}}, want: true},
	{condition: `"NumericEquals":{"aws:x":-3}`, keys: keys{"aws:x": {"-3"}}, want: true},
	{condition: `"NumericNotEquals":{"aws:x":90}`, keys: keys{"aws:x": {"90"}}},
	{condition: `"NumericNotEquals":{"aws:x":90}`, keys: keys{"aws:x": {"91"}}, want: true},
	{condition: `"NumericNotEquals":{"aws:x":[90,91]}`, keys: keys{"aws:x": {"91"}}},
	{condition: `"NumericNotEquals":{"aws:x":90}`, keys: keys{}, want: true},
	{condition: `"NumericLessThan":{"aws:x":30}`, keys: keys{"aws:x": {"29"}}, want: true},
	{condition: `"NumericLessThan":{"aws:x":30}`, keys: keys{"aws:x": {"30"}}},
	{condition: `"NumericLessThan":{"aws:x":30}`, keys: keys{"aws:x": {"29.99"}}, want: true},
	{condition: `"NumericLessThan":{"aws:x":30}`, keys: keys{"aws:x": {"4"}}, want: true},
	{condition: `"NumericLessThan":{"aws:x":30}`, keys: keys{}},
	{condition: `"NumericLessThanEquals":{"aws:x":30}`, keys: keys{"aws:x": {"30"}}, want: true},
	{condition: `"NumericLessThanEquals":{"aws:x":30}`, keys: keys{"aws:x": {"31"}}},
	{condition: `"NumericGreaterThan":{"aws:x":30}`, keys: keys{"aws:x": {"31"}}, want: true},
	{condition: `"NumericGreaterThan":{"aws:x":30}`, keys: keys{"aws:x": {"30"}}},
	{condition: `"NumericGreaterThan":{"aws:x":30}`, keys: keys{"aws:x": {"NaN"}}},
	{condition: `"NumericGreaterThan":{"aws:x":30}`, keys: keys{"aws:x": {"Inf"}}},
	{condition: `"NumericGreaterThan":{"aws:x":30}`, keys: keys{"aws:x": {"0x40"}}},
	{condition: `"NumericGreaterThanEquals":{"aws:x":30}`, keys: keys{"aws:x": {"30"}}, want: true},
	{condition: `"NumericGreaterThanEquals":{"aws:x":30}`, keys: keys{"aws:x": {"29"}}},
	{condition: `"NumericGreaterThanEquals":{"aws:x":[90,30]}`, keys: keys{"aws:x": {"45"}}, want: true},
	{condition: `"NumericLessThan":{"aws:multifactorauthage":"3600"}`, keys: keys{"aws:multifactorauthage": {"60"}}, want: true},
}}

var dateRows = conditionGroup{"reference_policies_elements_condition_operators.html#Conditions_Date", []conditionRow{
	{condition: `"DateEquals":{"aws:currenttime":"2026-01-31T12:00:00Z"}`, keys: keys{"aws:currenttime": {"2026-01-31T12:00:00Z"}}, want: true},
	{condition: `"DateEquals":{"aws:currenttime":"2026-01-31T13:00:00+01:00"}`, keys: keys{"aws:currenttime": {"2026-01-31T12:00:00Z"}}, want: true},
	{condition: `"DateEquals":{"aws:currenttime":"2026-01-31T12:00Z"}`, keys: keys{"aws:currenttime": {"2026-01-31T12:00:00Z"}}, want: true},
	{condition: `"DateEquals":{"aws:currenttime":"2026-01-31T12:00:00.250Z"}`, keys: keys{"aws:currenttime": {"2026-01-31T12:00:00.25Z"}}, want: true},
	{condition: `"DateEquals":{"aws:currenttime":"2026-01-31"}`, keys: keys{"aws:currenttime": {"2026-01-31T00:00:00Z"}}, want: true},
	{condition: `"DateEquals":{"aws:currenttime":"2026-01"}`, keys: keys{"aws:currenttime": {"2026-01-01T00:00:00Z"}}, want: true},
	{condition: `"DateEquals":{"aws:currenttime":"2026"}`, keys: keys{"aws:currenttime": {"2026-01-01T00:00:00Z"}}, want: true},
	{condition: `"DateEquals":{"aws:currenttime":"1769860800"}`, keys: keys{"aws:currenttime": {"2026-01-31T12:00:00Z"}}, want: true},
	{condition: `"DateEquals":{"aws:epochtime":1769860800}`, keys: keys{"aws:epochtime": {"1769860800"}}, want: true},
	{condition: `"DateEquals":{"aws:currenttime":"2026-01-31T12:00:00Z"}`, keys: keys{"aws:currenttime": {"1769860801"}}},
	{condition: `"DateEquals":{"aws:currenttime":"2026-01-31T12:00:00Z"}`, keys: keys{"aws:currenttime": {"yesterday"}}},
	{condition: `"DateEquals":{"aws:currenttime":"2026-01-31T12:00:00Z"}`, keys: keys{}},
	{condition: `"DateNotEquals":{"aws:currenttime":"2026-01-31T12:00:00Z"}`, keys: keys{"aws:currenttime": {"2026-01-31T12:00:00Z"}}},
	{condition: `"DateNotEquals":{"aws:currenttime":"2026-01-31T12:00:00Z"}`, keys: keys{"aws:currenttime": {"2026-01-31T12:00:01Z"}}, want: true},
	{condition: `"DateNotEquals":{"aws:currenttime":"2026-01-31T12:00:00Z"}`, keys: keys{}, want: true},
	{condition: `"DateLessThan":{"aws:currenttime":"2026-06-30T23:59:59Z"}`, keys: keys{"aws:currenttime": {"2026-01-31T12:00:00Z"}}, want: true},
	{condition: `"DateLessThan":{"aws:currenttime":"2026-06-30T23:59:59Z"}`, keys: keys{"aws:currenttime": {"2026-06-30T23:59:59Z"}}},
	{condition: `"DateLessThan":{"aws:currenttime":"2026-06-30T23:59:59Z"}`, keys: keys{"aws:currenttime": {"2027-01-31T12:00:00Z"}}},
	{condition: `"DateLessThan":{"aws:currenttime":"2026-06-30T23:59:59Z"}`, keys: keys{}},
	{condition: `"DateLessThanEquals":{"aws:currenttime":"2026-06-30T23:59:59Z"}`, keys: keys{"aws:currenttime": {"2026-06-30T23:59:59Z"}}, want: true},
	{condition: `"DateLessThanEquals":{"aws:currenttime":"2026-06-30T23:59:59Z"}`, keys: keys{"aws:currenttime": {"2026-07-01T00:00:00Z"}}},
	{condition: `"DateGreaterThan":{"aws:tokenissuetime":"2020-01-01T00:00:01Z"}`, keys: keys{"aws:tokenissuetime": {"2020-01-01T00:00:02Z"}}, want: true},
	{condition: `"DateGreaterThan":{"aws:tokenissuetime":"2020-01-01T00:00:01Z"}`, keys: keys{"aws:tokenissuetime": {"2020-01-01T00:00:01Z"}}},
	{condition: `"DateGreaterThan":{"aws:tokenissuetime":"2020-01-01T00:00:01Z"}`, keys: keys{}},
	{condition: `"DateGreaterThanEquals":{"aws:tokenissuetime":"2020-01-01T00:00:01Z"}`, keys: keys{"aws:tokenissuetime": {"2020-01-01T00:00:01Z"}}, want: true},
	{condition: `"DateGreaterThanEquals":{"aws:tokenissuetime":"2020-01-01T00:00:01Z"}`, keys: keys{"aws:tokenissuetime": {"2020-01-01T00:00:00Z"}}},
	{condition: `"DateGreaterThan":{"aws:currenttime":"2026-01-01"},"DateLessThan":{"aws:currenttime":"2026-02-01"}`, keys: keys{"aws:currenttime": {"2026-01-15T00:00:00Z"}}, want: true},
	{condition: `"DateGreaterThan":{"aws:currenttime":"2026-01-01"},"DateLessThan":{"aws:currenttime":"2026-02-01"}`, keys: keys{"aws:currenttime": {"2026-02-15T00:00:00Z"}}},
}}

var boolRows = conditionGroup{"reference_policies_elements_condition_operators.html#Conditions_Boolean", []conditionRow{
	{condition: `"Bool":{"aws:securetransport":"true"}`, keys: keys{"aws:securetransport": {"true"}}, want: true},
	{condition: `"Bool":{"aws:securetransport":true}`, keys: keys{"aws:securetransport": {"true"}}, want: true},
	{condition: `"Bool":{"aws:securetransport":"true"}`, keys: keys{"aws:securetransport": {"false"}}},
	{condition: `"Bool":{"aws:securetransport":"false"}`, keys: keys{"aws:securetransport": {"false"}}, want: true},
	{condition: `"Bool":{"aws:securetransport":"True"}`, keys: keys{"aws:securetransport": {"true"}}, want: true},
	{condition: `"Bool":{"aws:securetransport":"false"}`, keys: keys{}},
	{condition: `"Bool":{"aws:securetransport":"false"}`, keys: keys{"aws:securetransport": {"0"}}},
	{condition: `"Bool":{"aws:securetransport":["true","false"]}`, keys: keys{"aws:securetransport": {"false"}}, want: true},
	{condition: `"BoolIfExists":{"aws:multifactorauthpresent":"false"}`, keys: keys{}, want: true},
	{condition: `"BoolIfExists":{"aws:multifactorauthpresent":"false"}`, keys: keys{"aws:multifactorauthpresent": {"true"}}},
}}

var binaryRows = conditionGroup{"reference_policies_elements_condition_operators.html#Conditions_BinaryEquals", []conditionRow{
	{condition: `"BinaryEquals":{"aws:x":"QmluYXJ5"}`, keys: keys{"aws:x": {"QmluYXJ5"}}, want: true},
	{condition: `"BinaryEquals":{"aws:x":"QmluYXJ5"}`, keys: keys{"aws:x": {"qmluyxj5"}}},
	{condition: `"BinaryEquals":{"aws:x":"QmluYXJ5"}`, keys: keys{"aws:x": {"Binary"}}},
	{condition: `"BinaryEquals":{"aws:x":"QmluYXJ5"}`, keys: keys{}},
	{condition: `"BinaryEquals":{"aws:x":["AA==","QmluYXJ5"]}`, keys: keys{"aws:x": {"QmluYXJ5"}}, want: true},
	{condition: `"BinaryEqualsIfExists":{"aws:x":"AA=="}`, keys: keys{}, want: true},
}}

var addressRows = conditionGroup{"reference_policies_elements_condition_operators.html#Conditions_IPAddress", []conditionRow{
	{condition: `"IpAddress":{"aws:sourceip":"203.0.113.0/24"}`, keys: keys{"aws:sourceip": {"203.0.113.9"}}, want: true},
	{condition: `"IpAddress":{"aws:sourceip":"203.0.113.0/24"}`, keys: keys{"aws:sourceip": {"203.0.114.9"}}},
	{condition: `"IpAddress":{"aws:sourceip":"203.0.113.77/24"}`, keys: keys{"aws:sourceip": {"203.0.113.9"}}, want: true},
	{condition: `"IpAddress":{"aws:sourceip":"203.0.113.9"}`, keys: keys{"aws:sourceip": {"203.0.113.9"}}, want: true},
	{condition: `"IpAddress":{"aws:sourceip":"203.0.113.9"}`, keys: keys{"aws:sourceip": {"203.0.113.10"}}},
	{condition: `"IpAddress":{"aws:sourceip":"203.0.113.9"}`, keys: keys{"aws:sourceip": {"::ffff:203.0.113.9"}}, want: true},
	{condition: `"IpAddress":{"aws:sourceip":"0.0.0.0/0"}`, keys: keys{"aws:sourceip": {"203.0.113.9"}}, want: true},
	{condition: `"IpAddress":{"aws:sourceip":"0.0.0.0/0"}`, keys: keys{"aws:sourceip": {"2001:db8::1"}}},
	{condition: `"IpAddress":{"aws:sourceip":"2001:DB8:1234:5678::/64"}`, keys: keys{"aws:sourceip": {"2001:db8:1234:5678::1"}}, want: true},
	{condition: `"IpAddress":{"aws:sourceip":"2001:DB8:1234:5678::/64"}`, keys: keys{"aws:sourceip": {"2001:db8:1234:5679::1"}}},
	{condition: `"IpAddress":{"aws:sourceip":"2001:db8::1"}`, keys: keys{"aws:sourceip": {"2001:0db8:0::0001"}}, want: true},
	{condition: `"IpAddress":{"aws:sourceip":["203.0.113.0/24","2001:DB8:1234:5678::/64"]}`, keys: keys{"aws:sourceip": {"2001:db8:1234:5678::1"}}, want: true},
	{condition: `"IpAddress":{"aws:sourceip":"203.0.113.0/24"}`, keys: keys{"aws:sourceip": {"not an address"}}},
	{condition: `"IpAddress":{"aws:sourceip":"203.0.113.0/24"}`, keys: keys{}},
	{condition: `"IpAddress":{"aws:sourceip":"fe80::/10"}`, keys: keys{"aws:sourceip": {"fe80::1%eth0"}}, want: true},
	{condition: `"NotIpAddress":{"aws:sourceip":"203.0.113.0/24"}`, keys: keys{"aws:sourceip": {"203.0.113.9"}}},
	{condition: `"NotIpAddress":{"aws:sourceip":"203.0.113.0/24"}`, keys: keys{"aws:sourceip": {"198.51.100.1"}}, want: true},
	{condition: `"NotIpAddress":{"aws:sourceip":["203.0.113.0/24","198.51.100.0/24"]}`, keys: keys{"aws:sourceip": {"198.51.100.1"}}},
	{condition: `"NotIpAddress":{"aws:sourceip":"203.0.113.0/24"}`, keys: keys{"aws:sourceip": {"not an address"}}, want: true},
	{condition: `"NotIpAddress":{"aws:sourceip":"203.0.113.0/24"}`, keys: keys{}, want: true},
}}
