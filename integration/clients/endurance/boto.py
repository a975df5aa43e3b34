"""Makes calls of KMS by boto3, to the endpoint of the first argument, for the test that started it.

A line on standard input is {"op": ..., "in": {...}}, blobs in base64; the line on standard output that answers it is
{"class": ..., "message": ..., "sent": ..., "out": {...}}, where class is "" for success, and sent counts requests."""

import base64
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

sent = 0


def count(**_):
    global sent
    sent += 1


def plain(value):
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def call(client, methods, operation, given):
    shape = client.meta.service_model.operation_model(operation).input_shape
    arguments = {k: base64.b64decode(v) if shape.members[k].type_name == "blob" else v for k, v in given.items()}
    try:
        return {"class": "", "out": getattr(client, methods[operation])(**arguments)}
    except ClientError as e:
        status = e.response["ResponseMetadata"]["HTTPStatusCode"]
        return {"class": f"{e.response['Error']['Code']} {status}" if status != 502 else "502", "message": str(e)}
    except (ConnectionError, HTTPClientError) as e:
        return {"class": "connection", "message": repr(e)}


client = boto3.client("kms", endpoint_url=sys.argv[1], config=Config(retries={"mode": "standard", "total_max_attempts": 5}))
client.meta.events.register("response-received", count)
methods = {operation: method for method, operation in client.meta.method_to_api_mapping.items()}
for line in sys.stdin:
    asked, before = json.loads(line), sent
    reply = call(client, methods, asked["op"], asked["in"])
    print(json.dumps({**reply, "sent": sent - before}, default=plain), flush=True)
