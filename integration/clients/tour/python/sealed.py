"""What boto3 does when a node is sealed: tries again, and behind an endpoint that goes from node to node, succeeds.

NODE, the sealed one, is the first argument."""

import sys

from botocore.exceptions import ClientError
from recorder import Tour, check


def run(node):
    tour = Tour()
    for service, ask, code in (("kms", "list_keys", "DependencyTimeoutException"), ("sts", "get_caller_identity", "ServiceUnavailable")):
        for mode in ("legacy", "standard", "adaptive"):
            client = tour.client(service, tries=2, mode=mode, endpoint_url=node)
            try:
                answer = getattr(client, ask)()
            except ClientError as e:
                said = e.response
                check(said["Error"]["Code"] == code and said["ResponseMetadata"]["HTTPStatusCode"] == 503, said)
                check(said["ResponseMetadata"]["RetryAttempts"] == 1, mode, "did not try again:", said)
                check(int(said["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) >= 1, said)
                check(service != "kms" or type(e) is client.exceptions.DependencyTimeoutException, type(e))
            else:
                raise AssertionError(f"a sealed node answered {answer}")
    before = sum(tour.failures.values())
    kms = tour.client("kms", tries=10, mode="legacy")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    for n in range(9):
        sealed = kms.encrypt(KeyId=key, Plaintext=b"%d" % n)["CiphertextBlob"]
        check(kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"%d" % n, "another plaintext")
    retries = sum(tour.failures.values()) - before
    check(retries > 0, "no request met the sealed node")
    print("of", tour.sent, "requests", retries, "met the sealed node")


if __name__ == "__main__":
    run(sys.argv[1])
