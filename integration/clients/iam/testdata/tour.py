# A tour of STS and IAM with boto3: paginators, waiters, exceptions. It ends with status 0 and the word "done" when all is as expected.
import json
import os

import boto3
from botocore.exceptions import ClientError


endpoint = os.environ["AWS_ENDPOINT_URL"]  # which boto3 reads itself from 1.28 on


def client(service, credentials=None):
    if credentials is None:
        return boto3.client(service, endpoint_url=endpoint)
    return boto3.client(
        service,
        endpoint_url=endpoint,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials.get("SessionToken"),
    )


def refused(code, status, call, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        got = e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]
        assert got == (code, status), f"{got} instead of {(code, status)}: {e}"
        assert e.response["Error"]["Type"] == "Sender" and e.response["ResponseMetadata"]["RequestId"]
        return
    raise AssertionError(f"{call.__name__} was not refused with {code}")


iam, sts = client("iam"), client("sts")
account = sts.get_caller_identity()["Account"]
assert iam.get_user()["User"]["Arn"] == f"arn:aws:iam::{account}:root"

allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Sid": "Everything"}]}
trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}}]}

tags = [{"Key": "leer", "Value": ""}, {"Key": "naïve", "Value": "wert mit ü"}]
users = [f"user-{n}" for n in range(5)]
for name in users:
    iam.create_user(UserName=name, Path="/boto/", Tags=tags)
    iam.get_waiter("user_exists").wait(UserName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 3})
pages = list(iam.get_paginator("list_users").paginate(PathPrefix="/boto/", PaginationConfig={"PageSize": 2}))
assert len(pages) >= 3 and [u["UserName"] for p in pages for u in p["Users"]] == users
assert iam.list_user_tags(UserName="user-0")["Tags"] == tags

policy = iam.create_policy(PolicyName="boto", PolicyDocument=json.dumps(allow))["Policy"]["Arn"]
iam.get_waiter("policy_exists").wait(PolicyArn=policy, WaiterConfig={"Delay": 1, "MaxAttempts": 3})
version = iam.get_policy_version(PolicyArn=policy, VersionId="v1")["PolicyVersion"]
assert version["Document"] == allow and version["IsDefaultVersion"]  # botocore has decoded it
iam.attach_user_policy(UserName="user-0", PolicyArn=policy)
assert [p["PolicyArn"] for page in iam.get_paginator("list_attached_user_policies").paginate(UserName="user-0") for p in page["AttachedPolicies"]] == [policy]
entities = [page for page in iam.get_paginator("list_entities_for_policy").paginate(PolicyArn=policy)]
assert [u["UserName"] for page in entities for u in page["PolicyUsers"]] == ["user-0"]

iam.create_group(GroupName="boto")
for name in users:
    iam.add_user_to_group(GroupName="boto", UserName=name)
members = iam.get_paginator("get_group").paginate(GroupName="boto", PaginationConfig={"PageSize": 2})
assert [u["UserName"] for page in members for u in page["Users"]] == users

role = iam.create_role(RoleName="boto", AssumeRolePolicyDocument=json.dumps(trust), MaxSessionDuration=3600)["Role"]
assert iam.get_role(RoleName="boto")["Role"]["AssumeRolePolicyDocument"] == trust
iam.put_role_policy(RoleName="boto", PolicyName="inline", PolicyDocument=json.dumps(allow))
assert iam.get_role_policy(RoleName="boto", PolicyName="inline")["PolicyDocument"] == allow

# Resources of boto3 are a layer above the client.
resource = boto3.resource("iam", endpoint_url=endpoint)
assert resource.Role("boto").arn == role["Arn"]
assert sorted(u.name for u in resource.users.all()) == users
assert [p.policy_name for p in resource.Role("boto").policies.all()] == ["inline"]

key = iam.create_access_key(UserName="user-0")["AccessKey"]
mine = client("sts", key)
session = mine.assume_role(RoleArn=role["Arn"], RoleSessionName="boto")["Credentials"]
assert client("sts", session).get_caller_identity()["Arn"] == f"arn:aws:sts::{account}:assumed-role/boto/boto"
assert client("iam", session).get_group(GroupName="boto")["Group"]["GroupName"] == "boto"
own = mine.get_session_token(DurationSeconds=900)["Credentials"]
assert client("sts", own).get_caller_identity()["Arn"] == f"arn:aws:iam::{account}:user/boto/user-0"
refused("AccessDenied", 403, client("iam", own).get_user)

refused("NoSuchEntity", 404, iam.get_user, UserName="nobody")
refused("EntityAlreadyExists", 409, iam.create_user, UserName="USER-0")
refused("DeleteConflict", 409, iam.delete_user, UserName="user-0")
refused("MalformedPolicyDocument", 400, iam.create_policy, PolicyName="x", PolicyDocument="{}")
refused("ValidationError", 400, iam.create_user, UserName="a b")
refused("ValidationError", 400, iam.list_users, Marker="x")
refused("InvalidClientTokenId", 403, client("iam", {"AccessKeyId": "AKIAAAAAAAAAAAAAAAAA", "SecretAccessKey": "x"}).get_user)
refused("SignatureDoesNotMatch", 403, client("iam", dict(key, SecretAccessKey="x")).get_user)
refused("InvalidClientTokenId", 403, client("sts", dict(session, SessionToken="x")).get_caller_identity)
try:
    iam.get_role(RoleName="nobody")
    raise AssertionError("there is a role nobody")
except iam.exceptions.NoSuchEntityException:
    pass

# What a tool does before it deletes a user by force.
assert iam.list_mfa_devices(UserName="user-0")["MFADevices"] == []
assert iam.list_ssh_public_keys(UserName="user-0")["SSHPublicKeys"] == []
assert iam.list_signing_certificates(UserName="user-0")["Certificates"] == []
refused("NoSuchEntity", 404, iam.delete_login_profile, UserName="user-0")
for found in iam.list_access_keys(UserName="user-0")["AccessKeyMetadata"]:
    iam.delete_access_key(UserName="user-0", AccessKeyId=found["AccessKeyId"])
refused("InvalidClientTokenId", 403, mine.get_caller_identity)
refused("InvalidClientTokenId", 403, client("sts", own).get_caller_identity)
iam.detach_user_policy(UserName="user-0", PolicyArn=policy)
for name in users:
    iam.remove_user_from_group(GroupName="boto", UserName=name)
    iam.delete_user(UserName=name)
iam.delete_group(GroupName="boto")
iam.delete_role_policy(RoleName="boto", PolicyName="inline")
assert iam.list_instance_profiles_for_role(RoleName="boto")["InstanceProfiles"] == []
iam.delete_role(RoleName="boto")
iam.delete_policy(PolicyArn=policy)
assert iam.list_users()["Users"] == []
print("done")
