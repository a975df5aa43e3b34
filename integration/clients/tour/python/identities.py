"""Every operation of IAM and STS that boto3 knows: those that are served as a user of the client needs them, the others refused by name."""

import base64
import datetime
import json
import os
import time
import urllib.request
import uuid

import boto3
from recorder import Tour, check, openssl

# What nobody here has, and IAM says so.
REFUSED = {"GetLoginProfile": "NoSuchEntity", "DeleteLoginProfile": "NoSuchEntity"}

PATH = "/tour/"
TAGS = [{"Key": "tour", "Value": "iam"}]


def new(what):
    return what + "-" + uuid.uuid4().hex[:12]


def document(*actions, **more):
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), **more}]}


def managed_policy(iam, *actions):
    return iam.create_policy(PolicyName=new("policy"), PolicyDocument=json.dumps(document(*actions, Resource="*")))["Policy"]["Arn"]


def expect_empty(tour, iam, listings, **arguments):
    for method, member in listings:
        check(tour.pages(iam, method, member, **arguments) == [], method)


def inline_and_attached(tour, iam, kind, **owner):
    """What users, groups and roles have in common."""
    call = lambda method: getattr(iam, method.format(kind))
    written = document("kms:Decrypt", Resource="*")
    for name in ("one", "two"):
        call("put_{}_policy")(PolicyName=name, PolicyDocument=json.dumps(written), **owner)
    check(call("get_{}_policy")(PolicyName="one", **owner)["PolicyDocument"] == written, "the inline policy of a", kind)
    check(tour.pages(iam, f"list_{kind}_policies", "PolicyNames", **owner) == ["one", "two"], "the inline policies of a", kind)
    arns = sorted(managed_policy(iam, "kms:Encrypt") for _ in range(2))
    for arn in arns:
        call("attach_{}_policy")(PolicyArn=arn, **owner)
    attached = tour.pages(iam, f"list_attached_{kind}_policies", "AttachedPolicies", **owner)
    check(sorted(p["PolicyArn"] for p in attached) == arns and all(p["PolicyName"] in p["PolicyArn"] for p in attached), attached)
    entities = tour.pages(iam, "list_entities_for_policy", "Policy" + kind.title() + "s", PolicyArn=arns[0])
    check([e[kind.title() + "Name"] for e in entities] == list(owner.values()), entities)
    tour.refused("DeleteConflictException", iam.delete_policy, PolicyArn=arns[0])
    for arn in arns:
        call("detach_{}_policy")(PolicyArn=arn, **owner)
        iam.delete_policy(PolicyArn=arn)
    tour.refused("DeleteConflictException", call("delete_{}"), **owner)
    for name in ("one", "two"):
        call("delete_{}_policy")(PolicyName=name, **owner)


def bounded(iam, kind, **owner):
    arn = managed_policy(iam, "kms:*")
    getattr(iam, f"put_{kind}_permissions_boundary")(PermissionsBoundary=arn, **owner)
    described = getattr(iam, "get_" + kind)(**owner)[kind.title()]
    boundary = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn}
    check(described["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary["PermissionsBoundaryArn"], described)
    getattr(iam, f"delete_{kind}_permissions_boundary")(**owner)
    check("PermissionsBoundary" not in getattr(iam, "get_" + kind)(**owner)[kind.title()], "the boundary stayed")
    iam.delete_policy(PolicyArn=arn)


def tagged(tour, iam, kind, listing, **owner):
    call = lambda method: getattr(iam, method.format(kind))
    call("tag_{}")(Tags=[{"Key": "a", "Value": ""}, {"Key": "b", "Value": "2"}], **owner)
    call("untag_{}")(TagKeys=["a"], **owner)
    expected = TAGS + [{"Key": "b", "Value": "2"}]
    tags = tour.pages(iam, listing, "Tags", **owner) if iam.can_paginate(listing) else getattr(iam, listing)(**owner)["Tags"]
    check(sorted(tags, key=lambda t: t["Key"]) == sorted(expected, key=lambda t: t["Key"]), tags)


def users(tour, iam):
    owner = {"UserName": new("user")}
    user = iam.create_user(Path=PATH, Tags=TAGS, **owner)["User"]
    check(user["UserId"].startswith("AIDA") and user["Arn"].endswith(":user" + PATH + owner["UserName"]) and user["Path"] == PATH, user)
    check(isinstance(user["CreateDate"], datetime.datetime) and user["Tags"] == TAGS, user)
    tour.wait(iam, "user_exists", **owner)
    check(iam.get_user(**owner)["User"] == user, "GetUser")
    check(user["Arn"] in [u["Arn"] for u in tour.pages(iam, "list_users", "Users", PathPrefix=PATH)], "ListUsers")
    tagged(tour, iam, "user", "list_user_tags", **owner)
    bounded(iam, "user", **owner)
    inline_and_attached(tour, iam, "user", **owner)

    keys = [iam.create_access_key(**owner)["AccessKey"] for _ in range(2)]
    tour.refused("LimitExceededException", iam.create_access_key, **owner)
    listed = tour.pages(iam, "list_access_keys", "AccessKeyMetadata", **owner)
    check({k["AccessKeyId"] for k in listed} == {k["AccessKeyId"] for k in keys} and all(k["Status"] == "Active" for k in listed), listed)
    key = keys[0]
    own = dict(aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    identity = tour.client("sts", **own).get_caller_identity()
    check(identity["Arn"] == user["Arn"] and identity["UserId"] == user["UserId"], identity)
    tour.refused("AccessDenied", tour.client("iam", **own).list_users)
    last = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    check(last["UserName"] == owner["UserName"], last)
    session = tour.client("sts", **own).get_session_token(DurationSeconds=900)["Credentials"]
    check(session["AccessKeyId"].startswith("ASIA") and session["Expiration"] > datetime.datetime.now(datetime.timezone.utc), "the session")
    check(tour.client("sts", **credentials(session)).get_caller_identity()["Arn"] == user["Arn"], "who the session is")
    iam.update_access_key(AccessKeyId=key["AccessKeyId"], Status="Inactive", **owner)
    tour.refused("InvalidClientTokenId", tour.client("sts", **own).get_caller_identity)
    for key in keys:
        iam.delete_access_key(AccessKeyId=key["AccessKeyId"], **owner)

    for call in (iam.get_login_profile, iam.delete_login_profile):
        tour.refused("NoSuchEntityException", call, **owner)
    expect_empty(tour, iam, (("list_mfa_devices", "MFADevices"), ("list_ssh_public_keys", "SSHPublicKeys"), ("list_signing_certificates", "Certificates")), **owner)
    expect_empty(tour, iam, (("list_virtual_mfa_devices", "VirtualMFADevices"), ("list_account_aliases", "AccountAliases")))
    check(iam.list_service_specific_credentials(**owner)["ServiceSpecificCredentials"] == [], "service credentials")
    iam.delete_user(**owner)
    tour.refused("NoSuchEntityException", iam.get_user, **owner)


def groups(tour, iam):
    owner, member = {"GroupName": new("group")}, {"UserName": new("user")}
    group = iam.create_group(Path=PATH, **owner)["Group"]
    check(group["GroupId"].startswith("AGPA") and group["Arn"].endswith(":group" + PATH + owner["GroupName"]), group)
    tour.refused("EntityAlreadyExistsException", iam.create_group, **owner)
    check(group["Arn"] in [g["Arn"] for g in tour.pages(iam, "list_groups", "Groups")], "ListGroups")
    iam.create_user(**member)
    iam.add_user_to_group(**owner, **member)
    check([u["UserName"] for u in tour.pages(iam, "get_group", "Users", **owner)] == [member["UserName"]], "GetGroup")
    check([g["Arn"] for g in tour.pages(iam, "list_groups_for_user", "Groups", **member)] == [group["Arn"]], "ListGroupsForUser")
    iam.remove_user_from_group(**owner, **member)
    check(iam.get_group(**owner)["Group"] == group and iam.get_group(**owner)["Users"] == [], "an empty group")
    iam.delete_user(**member)
    inline_and_attached(tour, iam, "group", **owner)
    iam.delete_group(**owner)


def policies(tour, iam):
    first, second = (document("kms:" + action, Resource="*") for action in ("Encrypt", "Decrypt"))
    policy = iam.create_policy(PolicyName=new("policy"), Path=PATH, PolicyDocument=json.dumps(first), Description="d", Tags=TAGS)["Policy"]
    arn = {"PolicyArn": policy["Arn"]}
    check(policy["PolicyId"].startswith("ANPA") and policy["DefaultVersionId"] == "v1" and policy["AttachmentCount"] == 0, policy)
    tour.wait(iam, "policy_exists", **arn)
    check(iam.get_policy(**arn)["Policy"]["Description"] == "d", "the description")
    tagged(tour, iam, "policy", "list_policy_tags", **arn)
    version = iam.create_policy_version(PolicyDocument=json.dumps(second), SetAsDefault=True, **arn)["PolicyVersion"]
    check(version["VersionId"] == "v2" and version["IsDefaultVersion"] is True, version)
    check(iam.get_policy_version(VersionId="v2", **arn)["PolicyVersion"]["Document"] == second, "the second version")
    iam.set_default_policy_version(VersionId="v1", **arn)
    versions = tour.pages(iam, "list_policy_versions", "Versions", **arn)
    check({v["VersionId"]: v["IsDefaultVersion"] for v in versions} == {"v1": True, "v2": False}, versions)
    iam.delete_policy_version(VersionId="v2", **arn)
    check(policy["Arn"] in [p["Arn"] for p in tour.pages(iam, "list_policies", "Policies", Scope="Local")], "ListPolicies")
    iam.delete_policy(**arn)
    tour.refused("NoSuchEntityException", iam.get_policy, **arn)
    tour.refused("MalformedPolicyDocumentException", iam.create_policy, PolicyName=new("policy"), PolicyDocument="{}")


def simulation(tour, iam):
    owner = {"UserName": new("user")}
    arn = iam.create_user(**owner)["User"]["Arn"]
    iam.put_user_policy(PolicyName="use", PolicyDocument=json.dumps(document("kms:CreateKey", Resource="*")), **owner)
    results = tour.pages(iam, "simulate_principal_policy", "EvaluationResults", PolicySourceArn=arn, ActionNames=["kms:CreateKey", "kms:ListKeys"])
    decisions = {r["EvalActionName"]: r["EvalDecision"] for r in results}
    check(decisions == {"kms:CreateKey": "allowed", "kms:ListKeys": "implicitDeny"}, decisions)
    iam.delete_user_policy(PolicyName="use", **owner)
    iam.delete_user(**owner)


def credentials(session):
    return {"aws_access_key_id": session["AccessKeyId"], "aws_secret_access_key": session["SecretAccessKey"], "aws_session_token": session["SessionToken"]}


def roles(tour, iam, sts):
    account = sts.get_caller_identity()["Account"]
    trust = document("sts:AssumeRole", Principal={"AWS": account})
    owner = {"RoleName": new("role")}
    role = iam.create_role(Path=PATH, AssumeRolePolicyDocument=json.dumps(trust), Description="first", MaxSessionDuration=7200, Tags=TAGS, **owner)["Role"]
    check(role["RoleId"].startswith("AROA") and role["AssumeRolePolicyDocument"] == trust and role["Arn"].endswith(":role" + PATH + owner["RoleName"]), role)
    tour.wait(iam, "role_exists", **owner)
    described = iam.get_role(**owner)["Role"]
    check(described["MaxSessionDuration"] == 7200 and described["Description"] == "first", described)
    check(role["Arn"] in [r["Arn"] for r in tour.pages(iam, "list_roles", "Roles", PathPrefix=PATH)], "ListRoles")
    tagged(tour, iam, "role", "list_role_tags", **owner)
    iam.update_role(Description="second", MaxSessionDuration=3600, **owner)
    check(iam.update_role_description(Description="third", **owner)["Role"]["Description"] == "third", "UpdateRoleDescription")
    described = iam.get_role(**owner)["Role"]
    check(described["MaxSessionDuration"] == 3600 and described["Description"] == "third", described)
    bounded(iam, "role", **owner)
    inline_and_attached(tour, iam, "role", **owner)
    expect_empty(tour, iam, (("list_instance_profiles_for_role", "InstanceProfiles"),), **owner)

    iam.put_role_policy(PolicyName="use", PolicyDocument=json.dumps(document("kms:*", Resource="*")), **owner)
    assumed = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="tour", DurationSeconds=900, Policy=json.dumps(document("kms:List*", Resource="*")))
    check(assumed["AssumedRoleUser"]["AssumedRoleId"] == role["RoleId"] + ":tour", assumed["AssumedRoleUser"])
    kms = tour.client("kms", **credentials(assumed["Credentials"]))
    kms.list_keys()
    tour.refused("AccessDeniedException", kms.create_key)  # the session's policy has no such right
    tour.refused("AccessDenied", sts.assume_role, RoleArn=role["Arn"] + "x", RoleSessionName="tour")

    trust["Statement"][0]["Condition"] = {"StringEquals": {"sts:ExternalId": "42"}}
    iam.update_assume_role_policy(PolicyDocument=json.dumps(trust), **owner)
    check(iam.get_role(**owner)["Role"]["AssumeRolePolicyDocument"] == trust, "the trust policy")
    tour.refused("AccessDenied", sts.assume_role, RoleArn=role["Arn"], RoleSessionName="tour")
    sts.assume_role(RoleArn=role["Arn"], RoleSessionName="tour", ExternalId="42")
    iam.delete_role_policy(PolicyName="use", **owner)
    iam.delete_role(**owner)


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def web_identity(tour, iam, sts):
    """An issuer that is only a key: its set of keys is given to the cluster by the REST door, since IAM's has no place for it."""
    private = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    modulus = bytes.fromhex(openssl("rsa", "-in", "{key}", "-noout", "-modulus", key=private).decode().strip().partition("=")[2])
    issuer = new("issuer") + ".example"
    body = {"url": "https://" + issuer, "client_id_list": ["tour"],
            "jwks": json.dumps({"keys": [{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": b64(modulus), "e": "AQAB"}]})}
    basic = base64.b64encode((os.environ["AWS_ACCESS_KEY_ID"] + ":" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()).decode()
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL_STS"] + "/v1/oidc-providers", json.dumps(body).encode(), {"Authorization": "Basic " + basic})
    urllib.request.urlopen(request).close()

    account = sts.get_caller_identity()["Account"]
    trusted = f"arn:aws:iam::{account}:oidc-provider/{issuer}"
    owner = {"RoleName": new("role")}
    trust = document("sts:AssumeRoleWithWebIdentity", Principal={"Federated": trusted}, Condition={"StringEquals": {issuer + ":sub": "somebody"}})
    role = iam.create_role(AssumeRolePolicyDocument=json.dumps(trust), **owner)["Role"]

    def token(subject):
        now = int(time.time())
        claims = {"iss": "https://" + issuer, "aud": "tour", "sub": subject, "iat": now, "exp": now + 600}
        text = b64(json.dumps({"alg": "RS256", "kid": "1", "typ": "JWT"}).encode()) + "." + b64(json.dumps(claims).encode())
        return text + "." + b64(openssl("dgst", "-sha256", "-sign", "{key}", "{text}", key=private, text=text.encode()))

    ask = dict(RoleArn=role["Arn"], RoleSessionName="tour")
    answer = sts.assume_role_with_web_identity(WebIdentityToken=token("somebody"), **ask)
    check(answer["SubjectFromWebIdentityToken"] == "somebody" and answer["Audience"] == "tour" and answer["Provider"] == trusted, answer.keys())
    who = tour.client("sts", **credentials(answer["Credentials"])).get_caller_identity()
    check(who["Arn"] == answer["AssumedRoleUser"]["Arn"], who)
    tour.refused("AccessDenied", sts.assume_role_with_web_identity, WebIdentityToken=token("another"), **ask)
    tour.refused("InvalidIdentityTokenException", sts.assume_role_with_web_identity, WebIdentityToken="no.token.atall", **ask)
    iam.delete_role(**owner)
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=trusted)


def providers(tour, iam):
    issuer = new("issuer") + ".example"
    made = iam.create_open_id_connect_provider(Url="https://" + issuer, ThumbprintList=["a" * 40], ClientIDList=["one"], Tags=TAGS)
    arn = {"OpenIDConnectProviderArn": made["OpenIDConnectProviderArn"]}
    check(made["OpenIDConnectProviderArn"].endswith(":oidc-provider/" + issuer), made)
    iam.add_client_id_to_open_id_connect_provider(ClientID="two", **arn)
    iam.remove_client_id_from_open_id_connect_provider(ClientID="one", **arn)
    iam.update_open_id_connect_provider_thumbprint(ThumbprintList=["b" * 40], **arn)
    described = iam.get_open_id_connect_provider(**arn)
    check(described["Url"] == issuer and described["ClientIDList"] == ["two"] and described["ThumbprintList"] == ["b" * 40], described)
    tagged(tour, iam, "open_id_connect_provider", "list_open_id_connect_provider_tags", **arn)
    check({"Arn": made["OpenIDConnectProviderArn"]} in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"], "the list of providers")
    iam.delete_open_id_connect_provider(**arn)


def presigned(sts):
    """A URL that says who its bearer is would be one that anybody may keep. It is refused, and says so."""
    url = sts.generate_presigned_url("get_caller_identity")
    for method in ("GET", "POST"):
        try:
            urllib.request.urlopen(urllib.request.Request(url, method=method)).close()
        except urllib.error.HTTPError as e:
            check(400 <= e.code < 500, method, "of a presigned URL:", e.code)
            check(b"<Arn>" not in e.read(), method, "told who signed a URL")
        else:
            raise AssertionError(f"{method} of a presigned URL was answered")


def run():
    tour = Tour()
    iam, sts = tour.client("iam"), tour.client("sts")
    for step in (users, groups, policies, simulation, providers):
        step(tour, iam)
    roles(tour, iam, sts)
    web_identity(tour, iam, sts)
    presigned(sts)
    unused = {w for w in iam.waiter_names if ("iam", w) not in tour.waited}
    check(unused == {"instance_profile_exists"} and sts.waiter_names == [], "this client has waiters that the tour does not use:", unused)
    tour.finish(iam, REFUSED, others="InvalidAction")
    tour.finish(sts, others="InvalidAction")


if __name__ == "__main__":
    run()
