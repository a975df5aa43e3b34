#!/bin/sh
# A tour of "aws iam" and "aws sts". It ends with status 0 and the word "done" when all is as expected.
set -eu

is() { # is WANT GOT
  [ "$1" = "$2" ] || { echo "got '$2' instead of '$1'" >&2; exit 1; }
}
refused() { # refused CODE COMMAND...
  code=$1
  shift
  if out=$("$@" 2>&1); then
    echo "$* was not refused: $out" >&2
    exit 1
  fi
  case $out in *"($code)"*) ;; *) echo "$* says: $out" >&2; exit 1 ;; esac
}
aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; } # which older ones do not read themselves
text() { aws "$@" --output text; }

account=$(text sts get-caller-identity --query Account)
is "arn:aws:iam::$account:root" "$(text iam get-user --query User.Arn)"

text iam create-user --user-name cli --tags Key=team,Value=blue >/dev/null
aws iam wait user-exists --user-name cli
is blue "$(text iam list-user-tags --user-name cli --query 'Tags[0].Value')"
cat >policy.json <<'POLICY'
{
  "Version": "2012-10-17",
  "Statement": {"Effect": "Allow", "Action": ["sts:AssumeRole", "iam:Get*"], "Resource": "*"}
}
POLICY
policy=$(text iam create-policy --policy-name cli --policy-document file://policy.json --query Policy.Arn)
text iam attach-user-policy --user-name cli --policy-arn "$policy"
is sts:AssumeRole "$(text iam get-policy-version --policy-arn "$policy" --version-id v1 --query 'PolicyVersion.Document.Statement.Action[0]')"
is cli "$(text iam list-entities-for-policy --policy-arn "$policy" --query 'PolicyUsers[].UserName')"

cat >trust.json <<TRUST
{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::$account:root"}, "Action": "sts:AssumeRole"}]}
TRUST
role=$(text iam create-role --role-name cli --assume-role-policy-document file://trust.json --query Role.Arn)
text iam update-assume-role-policy --role-name cli --policy-document file://trust.json
text iam put-role-policy --role-name cli --policy-name inline --policy-document file://policy.json
is inline "$(text iam list-role-policies --role-name cli --query 'PolicyNames[]')"

set -- $(text iam create-access-key --user-name cli --query 'AccessKey.[AccessKeyId,SecretAccessKey]')
id=$1 secret=$2
as() { AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret "$@"; }
is "arn:aws:iam::$account:user/cli" "$(as text sts get-caller-identity --query Arn)"
is cli "$(as text iam get-user --query User.UserName)"
refused AccessDenied as aws iam list-users

set -- $(as text sts assume-role --role-arn "$role" --role-session-name tour --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]')
by() { AWS_ACCESS_KEY_ID=$1 AWS_SECRET_ACCESS_KEY=$2 AWS_SESSION_TOKEN=$3 text sts get-caller-identity --query Arn; }
is "arn:aws:sts::$account:assumed-role/cli/tour" "$(by "$@")"
set -- $(as text sts get-session-token --duration-seconds 900 --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]')
is "arn:aws:iam::$account:user/cli" "$(by "$@")"

# A profile that assumes a role, as ~/.aws/config names it.
cat >config <<CONFIG
[profile shop]
role_arn = $role
credential_source = Environment
role_session_name = profile
CONFIG
case $(command aws --version) in
  aws-cli/1.[0-9].* | aws-cli/1.1?.* | aws-cli/1.2[0-8].* | aws-cli/2.[0-9].* | aws-cli/2.1[0-2].*) ;; # asks for the role where no option reaches
  *) is "arn:aws:sts::$account:assumed-role/cli/profile" "$(AWS_CONFIG_FILE=config as text sts get-caller-identity --profile shop --query Arn)" ;;
esac

is allowed "$(text iam simulate-principal-policy --policy-source-arn "arn:aws:iam::$account:user/cli" --action-names iam:GetUser --query 'EvaluationResults[0].EvalDecision')"
refused NoSuchEntity aws iam get-user --user-name nobody
refused EntityAlreadyExists aws iam create-user --user-name cli
refused DeleteConflict aws iam delete-user --user-name cli
refused ValidationError aws iam create-user --user-name 'a b'

text iam update-access-key --user-name cli --access-key-id "$id" --status Inactive
refused InvalidClientTokenId as aws sts get-caller-identity
refused InvalidClientTokenId by "$@"
text iam delete-access-key --user-name cli --access-key-id "$id"
text iam detach-user-policy --user-name cli --policy-arn "$policy"
text iam delete-user --user-name cli
text iam delete-role-policy --role-name cli --policy-name inline
text iam delete-role --role-name cli
text iam delete-policy --policy-arn "$policy"
is None "$(text iam list-users --query 'Users[0].UserName')"
echo done
