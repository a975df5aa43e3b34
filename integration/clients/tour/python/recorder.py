"""What the tours share: clients whose every answer is looked at, and an account of what was asked and answered.

The invariant: a tour cannot pass over an operation that the client knows. What counts as asked is what the client itself
reports after it has parsed an answer, not what a step claims.
"""

import collections
import json
import os
import subprocess
import tempfile

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import ClientError

VERSION = tuple(int(n) for n in botocore.__version__.split("."))

# What the model does not say: statuses of STS and IAM.
STATUS = {"AccessDenied": 403, "InvalidClientTokenId": 403, "SignatureDoesNotMatch": 403, "MissingAuthenticationToken": 403, "ExpiredToken": 403}

# Listings of what one object has are answered whole, whatever page is asked for.
ANSWERED_WHOLE = {
    "ListAccessKeys", "ListAttachedGroupPolicies", "ListAttachedRolePolicies", "ListAttachedUserPolicies", "ListEntitiesForPolicy",
    "ListGroupPolicies", "ListGroupsForUser", "ListPolicyVersions", "ListRolePolicies", "ListUserPolicies", "ListUserTags", "ListRoleTags",
    "ListPolicyTags", "ListOpenIDConnectProviderTags", "ListOpenIDConnectProviders", "GetGroup", "SimulatePrincipalPolicy",
}

# Clients from before this version do not know the endpoint variables.
KNOWS_ENDPOINT_VARIABLES = VERSION >= (1, 31, 0)


def check(condition, *what):
    """Fails loudly whatever flags the interpreter was started with, unlike assert."""
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


class Tour:
    """Makes clients and remembers, for each service and operation, how it was answered."""

    def __init__(self, passing=("DependencyTimeoutException", "ServiceUnavailable")):
        self.passing = passing
        self.answered = {}  # (service, operation) -> set of error codes, None for success
        self.paged = set()  # (service, operation)
        self.waited = set()  # (service, waiter)
        self.sent = 0  # requests, retries included
        self.failures = collections.Counter()  # codes of what was tried again

    def client(self, service, region=None, tries=4, mode="standard", **arguments):
        """A client whose answers are recorded. tries counts the first one."""
        if not KNOWS_ENDPOINT_VARIABLES:
            arguments.setdefault("endpoint_url", os.environ["AWS_ENDPOINT_URL_" + service.upper()])
        config = Config(retries={"total_max_attempts": tries, "mode": mode}).merge(arguments.pop("config", Config()))
        client = boto3.client(service, region_name=region, config=config, **arguments)
        client.meta.events.register("response-received", self._received)
        client.meta.events.register("after-call", self._saw)
        return client

    def _received(self, parsed_response=None, exception=None, **_):
        """Sees every attempt. On a cluster whose nodes all run, the only failure that a retry may mend is an election's."""
        self.sent += 1
        if exception is not None or parsed_response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
            code = parsed_response["Error"]["Code"] if parsed_response else repr(exception)
            self.failures[code] += 1
            check(code in self.passing, "failed with", code, parsed_response)

    def _saw(self, http_response, parsed, model, **_):
        service = model.service_model.service_name
        error = parsed.get("Error", {}).get("Code")
        self.answered.setdefault((service, model.name), set()).add(error)
        metadata = parsed["ResponseMetadata"]
        check(metadata.get("RequestId"), model.name, "was answered without a request id that the client finds:", metadata)
        check(metadata["RequestId"] == http_response.headers["x-amzn-requestid"], model.name, "was answered two request ids", metadata)
        if service == "kms":
            self._check_json(http_response, error, model)

    def _check_json(self, http_response, error, model):
        check(http_response.headers["Content-Type"] == "application/x-amz-json-1.1", model.name, http_response.headers)
        if error is not None:
            body = json.loads(http_response.content)
            check(set(body) == {"__type", "message"} and body["__type"] == error, model.name, "was refused with", body)
        elif VERSION < (1, 43, 0):
            pass  # older models lack members that are served
        elif model.output_shape is None:
            check(http_response.content in (b"", b"{}"), model.name, "has no output, and was answered", http_response.content)
        else:
            unknown = list(strangers(model.output_shape, json.loads(http_response.content), model.name))
            check(not unknown, "the service model does not have", unknown)

    def refused(self, name, call, /, **arguments):
        """Makes a call that has to be refused, at once, with an error class of the model or else a code, and returns the error."""
        client = call.__self__
        shape = next((s for s in client.meta.service_model.error_shapes if s.name == name), None)
        code, status = name, 400
        if shape is not None and client.meta.service_model.service_name != "kms":  # whose model has other statuses than AWS sends
            code, status = shape.error_code, shape.metadata["error"]["httpStatusCode"]
        elif name in STATUS:
            status = STATUS[name]
        try:
            answer = call(**arguments)
        except ClientError as e:
            answer = e.response
            check(answer["Error"]["Code"] == code, call.__name__, arguments, "was refused with", answer["Error"], "not", code)
            check(answer["ResponseMetadata"]["HTTPStatusCode"] == status, call.__name__, "has to be refused with", status, answer)
            check(answer["ResponseMetadata"]["RetryAttempts"] == 0, call.__name__, "was tried again after", answer)
            check(shape is None or type(e) is getattr(client.exceptions, name), name, "was raised as", type(e))
            return answer["Error"]
        raise AssertionError(f"{call.__name__} {arguments} has to be refused with {code}, and was answered {answer}")

    def pages(self, client, method, member, **arguments):
        """Everything of a listing, page by page of one."""
        operation = client.meta.method_to_api_mapping[method]
        paginator = client.get_paginator(method)
        sizes, everything = [], []
        for page in paginator.paginate(PaginationConfig={"PageSize": 1}, **arguments):
            sizes.append(len(page[member]))
            everything += page[member]
        check(operation in ANSWERED_WHOLE or max(sizes) <= 1, operation, "has pages of", sizes)
        all_at_once = [x for page in paginator.paginate(**arguments) for x in page[member]]
        check(all_at_once == everything, operation, "lists", all_at_once, "and by pages", everything)
        self.paged.add((client.meta.service_model.service_name, operation))
        return everything

    def wait(self, client, waiter, **arguments):
        client.get_waiter(waiter).wait(WaiterConfig={"Delay": 1, "MaxAttempts": 2}, **arguments)
        self.waited.add((client.meta.service_model.service_name, waiter))

    def finish(self, client, refusals=None, others=None):
        """Fails unless everything the client knows of its service was asked, and answered. refusals has the operations that
        are always refused, with the code. others is the code for what has no step: it is asked here, with the least that the
        client sends."""
        service, refusals, missing = client.meta.service_model.service_name, refusals or {}, []
        for operation in client.meta.service_model.operation_names:
            method = method_of(client, operation)
            if others and (service, operation) not in self.answered:
                shape = client.meta.service_model.operation_model(operation).input_shape
                self.refused(others, getattr(client, method), **(least(shape) if shape else {}))
                continue
            answers = self.answered.get((service, operation), set())
            if operation in refusals:
                if answers != {refusals[operation]}:
                    missing.append(f"{operation}: has to be refused with {refusals[operation]} and nothing else, was answered {answers}")
            elif None not in answers:
                missing.append(f"{operation}: was never answered ({answers})")
            elif client.can_paginate(method) and (service, operation) not in self.paged:
                missing.append(f"{operation}: its paginator was not used")
        check(not missing, f"{service}: {len(missing)} operations:\n ", "\n  ".join(missing))
        print(f"{service}: {len(client.meta.service_model.operation_names)} operations with boto3 {boto3.__version__}, "
              f"{self.sent} requests, tried again {dict(self.failures)}")


def least(shape):
    """The least value of a shape that the client accepts."""
    kind = shape.type_name
    if kind == "structure":
        return {name: least(shape.members[name]) for name in shape.required_members}
    if kind == "list":
        return [least(shape.member)]
    if kind == "string":
        return shape.enum[0] if shape.enum else "x" * max(1, shape.metadata.get("min", 1))
    if kind in ("integer", "long"):
        return shape.metadata.get("min", 1)
    return {"boolean": False, "blob": b"x", "map": {}}[kind]


def strangers(shape, value, at):
    """The members of an answer that its shape does not have."""
    if shape.type_name == "structure":
        for name, v in value.items():
            if name not in shape.members:
                yield f"{at}.{name}"
            else:
                yield from strangers(shape.members[name], v, f"{at}.{name}")
    elif shape.type_name == "list":
        for v in value:
            yield from strangers(shape.member, v, at + "[]")
    elif shape.type_name == "map":
        for v in value.values():
            yield from strangers(shape.value, v, at + "{}")


def method_of(client, operation):
    return next(m for m, o in client.meta.method_to_api_mapping.items() if o == operation)


def takes(client, operation, member):
    """Whether the client's model has a member of the operation's input."""
    model = client.meta.service_model
    return operation in model.operation_names and member in model.operation_model(operation).input_shape.members


def openssl(*arguments, **files):
    """Runs openssl. {NAME} in an argument is the path of a file with the given content; the output is returned."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for name, content in files.items():
            paths[name] = os.path.join(folder, name)
            with open(paths[name], "wb") as f:
                f.write(content)
        done = subprocess.run(["openssl", *(a.format(**paths) for a in arguments)], capture_output=True)
        check(done.returncode == 0, "openssl", arguments, done.stderr.decode())
        return done.stdout
