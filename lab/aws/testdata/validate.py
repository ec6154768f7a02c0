#!/usr/bin/python3
"""Holds a response against the service model of botocore, which we did not write.

    validate.py URL REGION SERVICE OPERATION JSON-PARAMS

SERVICE is botocore's name of it (rds, cloudwatch, s3, backup, sts, iam,
service-quotas), OPERATION that of the API reference. A parameter that is a blob
is given as text, one that is a timestamp in ISO 8601.

Prints the parsed response as JSON. Exits with
  0 when it is what the model says
  1 when it is not: what is wrong is listed on standard error, a line each
  2 when it is an error, and a good one; then {"Error": {"Code", "Message"}, "Status"}
  3 when nothing that AWS would say came back at all

What is held against the model is the body as it went over the wire: members
that the model does not have, required ones that are missing, values of another
type, timestamps in another format, words that are not in an enumeration.

It needs Debian's python3-botocore.
"""

import base64
import datetime
import json
import os
import re
import sys
import xml.etree.ElementTree as ElementTree

import botocore
import botocore.config
import botocore.exceptions
import botocore.session

ISO8601 = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
RFC822 = re.compile(r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/CommonErrors.html and its
# like: what every service may answer with, and no model lists.
COMMON = {
    "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature",
    "InternalError", "InternalFailure", "InternalServerError", "InvalidAccessKeyId", "InvalidAction", "InvalidArgument",
    "InvalidClientTokenId", "InvalidParameterCombination", "InvalidParameterValue", "InvalidRange", "InvalidRequest",
    "InvalidSignatureException", "InvalidToken", "MalformedXML", "MethodNotAllowed", "MissingAuthenticationToken",
    "MissingAuthenticationTokenException", "MissingParameter", "NoSuchBucket", "NoSuchKey", "NotImplemented",
    "NotAuthorized", "ObjectLockConfigurationNotFoundError", "OptInRequired", "PermanentRedirect", "PreconditionFailed",
    "ReplicationConfigurationNotFoundError", "RequestExpired", "RequestLimitExceeded", "RequestTimeTooSkewed",
    "ServerSideEncryptionConfigurationNotFoundError", "NoSuchObjectLockConfiguration", "NoSuchVersion", "NoSuchUpload",
    "ServiceUnavailable", "SignatureDoesNotMatch", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException",
    "UnknownOperationException", "UnrecognizedClientException", "ValidationError", "ValidationException",
    "301", "304", "400", "403", "404", "405", "412", "416",  # HEAD has no body, so the status is all there is
}

# What AWS has added since this botocore was made, by service and shape; taken
# from the model that aws-sdk-go-v2 was generated from.
NEWER = {
    ("rds", "GlobalClusterMember"): {"SynchronizationStatus": "string"},
    ("rds", "FailoverState"): {"IsDataLossAllowed": "boolean"},
    ("backup", "RecoveryPointByBackupVault"): {
        "ResourceName": "string", "InitiationDate": "timestamp", "EncryptionKeyType": "string", "VaultType": "string"},
    ("backup", "DescribeRecoveryPointOutput"): {
        "ResourceName": "string", "InitiationDate": "timestamp", "EncryptionKeyType": "string", "VaultType": "string"},
    ("backup", "RecoveryPointByResource"): {"ResourceName": "string", "IsParent": "boolean", "VaultType": "string"},
    ("backup", "DescribeBackupVaultOutput"): {"VaultType": "string", "VaultState": "string", "EncryptionKeyType": "string"},
}
NEWER_WORDS = {
    ("backup", "RecoveryPointStatus"): ["AVAILABLE", "CREATING", "STOPPED"],
    ("s3", "ReplicationStatus"): ["COMPLETED"],
}


def modernise(service, model):
    """Adds to a service model what is newer than it."""
    shapes = model._service_description["shapes"]
    for (of, shape), members in NEWER.items():
        if of == service and shape in shapes:
            for name, kind in members.items():
                shapes.setdefault("_" + kind, {"type": kind})
                shapes[shape]["members"].setdefault(name, {"shape": "_" + kind})
    for (of, shape), words in NEWER_WORDS.items():
        if of == service and shape in shapes:
            shapes[shape]["enum"] += [w for w in words if w not in shapes[shape]["enum"]]


class Check:
    """What is wrong with one response."""

    def __init__(self):
        self.wrong = []

    def say(self, path, text):
        self.wrong.append(f"{path or '(response)'}: {text}")

    def scalar(self, path, shape, value, wire, timestamps):
        """wire is "json" for values that have types of their own, else "text"."""
        kind = shape.type_name
        if kind in ("string", "character"):
            if not isinstance(value, str):
                return self.say(path, f"is {value!r}, and a string in the model")
            words = shape.metadata.get("enum")
            if words and value not in words:
                self.say(path, f"{value!r} is none of {', '.join(words)}")
        elif kind == "boolean":
            if not (isinstance(value, bool) if wire == "json" else value in ("true", "false")):
                self.say(path, f"is {value!r}, and a boolean in the model")
        elif kind in ("integer", "long"):
            good = isinstance(value, int) and not isinstance(value, bool) if wire == "json" else re.fullmatch(r"-?\d+", value or "")
            if not good:
                self.say(path, f"is {value!r}, and a whole number in the model")
        elif kind in ("float", "double"):
            try:
                float(value)
            except (TypeError, ValueError):
                self.say(path, f"is {value!r}, and a number in the model")
        elif kind == "timestamp":
            self.timestamp(path, shape, value, timestamps)
        elif kind == "blob" and isinstance(value, str):
            try:
                base64.b64decode(value, validate=True)
            except ValueError:
                self.say(path, "is not base64")

    def timestamp(self, path, shape, value, default):
        form = shape.serialization.get("timestampFormat", default)
        good = {
            "unixTimestamp": lambda: isinstance(value, (int, float)) and not isinstance(value, bool),
            "iso8601": lambda: isinstance(value, str) and ISO8601.match(value),
            "rfc822": lambda: isinstance(value, str) and RFC822.match(value),
        }[form]
        if not good():
            self.say(path, f"is {value!r}, and a timestamp in the format {form} in the model")

    # -- JSON -------------------------------------------------------------------

    def json(self, path, shape, value):
        if value is None:
            return
        kind = shape.type_name
        if kind == "structure":
            if not isinstance(value, dict):
                return self.say(path, f"is {value!r}, and a structure in the model")
            members = {m.serialization.get("name", name): (name, m) for name, m in shape.members.items()
                       if m.serialization.get("location") is None}
            for key, inner in value.items():
                if key in members:
                    self.json(f"{path}.{key}".lstrip("."), members[key][1], inner)
                elif key != "__type":
                    self.say(f"{path}.{key}".lstrip("."), "is not in the model")
            self.required(path, shape, {members[k][0] for k, v in value.items() if k in members and v is not None},
                          {name for name, _ in members.values()})
        elif kind == "list":
            if not isinstance(value, list):
                return self.say(path, f"is {value!r}, and a list in the model")
            for i, inner in enumerate(value):
                self.json(f"{path}[{i}]", shape.member, inner)
        elif kind == "map":
            if not isinstance(value, dict):
                return self.say(path, f"is {value!r}, and a map in the model")
            for key, inner in value.items():
                self.scalar(f"{path} key", shape.key, key, "json", "unixTimestamp")
                self.json(f"{path}.{key}", shape.value, inner)
        else:
            self.scalar(path, shape, value, "json", "unixTimestamp")

    def required(self, path, shape, there, here):
        for name in shape.required_members:
            if name in here and name not in there:
                self.say(f"{path}.{name}".lstrip("."), "is required, and missing")

    # -- XML --------------------------------------------------------------------

    def xml(self, path, shape, element):
        kind = shape.type_name
        if kind == "structure":
            self.xml_structure(path, shape, element)
        elif kind == "list":
            name = shape.member.serialization.get("name", "member")
            for i, child in enumerate(element):
                if tag(child) != name:
                    self.say(f"{path}[{i}]", f"is in an element {tag(child)}, and in {name} in the model")
                self.xml(f"{path}[{i}]", shape.member, child)
        elif kind == "map":
            for child in element:
                self.xml_entry(path, shape, child)
        else:
            if len(element):
                return self.say(path, f"holds elements, and is of type {kind} in the model")
            self.scalar(path, shape, element.text or "", "text", "iso8601")

    def xml_structure(self, path, shape, element):
        members, attributes = {}, {}
        for name, m in shape.members.items():
            if m.serialization.get("location") is not None:
                continue
            wire = m.serialization.get("name", name)
            if m.type_name == "list" and m.serialization.get("flattened"):
                wire = m.serialization.get("name") or m.member.serialization.get("name", name)
            (attributes if m.serialization.get("xmlAttribute") else members)[wire.split(":")[-1]] = (name, m)
        there = {name for wire, (name, _) in attributes.items() if any(tag_name(a) == wire for a in element.attrib)}
        seen = {}
        for child in element:
            wire = tag(child)
            at = f"{path}.{wire}".lstrip(".")
            if wire not in members:
                if wire != "ResponseMetadata":
                    self.say(at, "is not in the model")
                continue
            name, m = members[wire]
            there.add(name)
            n = seen[wire] = seen.get(wire, -1) + 1
            if m.serialization.get("flattened") and m.type_name == "list":
                self.xml(f"{at}[{n}]", m.member, child)
            elif m.serialization.get("flattened") and m.type_name == "map":
                self.xml_entry(at, m, child)
            else:
                if n == 1:
                    self.say(at, "is there more than once")
                self.xml(at, m, child)
        here = {name for name, _ in members.values()} | {name for name, _ in attributes.values()}
        self.required(path, shape, there, here)

    def xml_entry(self, path, shape, entry):
        parts = {tag(child): child for child in entry}
        key, value = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
        if set(parts) != {key, value}:
            return self.say(path, f"has an entry of {sorted(parts)}, and of {[key, value]} in the model")
        self.xml(f"{path} key", shape.key, parts[key])
        self.xml(f"{path}.{parts[key].text}", shape.value, parts[value])

    # -- the whole response -----------------------------------------------------

    def headers(self, shape, headers):
        for name, m in shape.members.items():
            place = m.serialization.get("location")
            if place != "header":
                continue
            wire = m.serialization.get("name", name)
            value = headers.get(wire)
            if value is not None:
                self.scalar(wire, m, value, "text", "rfc822")
            elif name in shape.required_members:
                self.say(name, "is required, and missing")

    def response(self, operation, raw):
        shape = operation.output_shape
        if shape is None:
            return
        protocol = operation.service_model.metadata["protocol"]
        self.headers(shape, raw["headers"])
        if "payload" in shape.serialization:
            shape = shape.members[shape.serialization["payload"]]
            if shape.type_name in ("blob", "string"):
                return
        body = raw["body"]
        in_body = [m for m in shape.members.values() if m.serialization.get("location") is None]
        if protocol in ("json", "rest-json"):
            if protocol == "json" or in_body:
                self.json("", shape, json.loads(body or b"{}"))
            return
        if not in_body and not body:
            return
        root = ElementTree.fromstring(body)
        if protocol in ("query", "ec2"):
            self.query_root(operation, shape, root)
        elif protocol == "rest-xml":
            self.xml("", shape, root)

    def query_root(self, operation, shape, root):
        if tag(root) != operation.name + "Response":
            self.say(tag(root), f"is the outermost element, and {operation.name}Response in the model")
        namespace = operation.service_model.metadata.get("xmlNamespace")
        if namespace and not root.tag.startswith("{" + namespace.rstrip("/")):
            self.say(root.tag, f"is not in the namespace {namespace}")
        wrapper = operation.output_shape.serialization.get("resultWrapper")
        for child in root:
            if tag(child) not in ("ResponseMetadata", wrapper):
                self.say(tag(child), "is not in the model")
        inner = root if wrapper is None else next((c for c in root if tag(c) == wrapper), None)
        if inner is None:
            return self.say(wrapper, "is missing")
        self.xml("", shape, inner)

    def error(self, operation, error):
        code = str(error.get("Code"))
        known = {s.metadata.get("error", {}).get("code", s.name) for s in operation.error_shapes} | {s.name for s in operation.error_shapes}
        if code not in known | COMMON:
            self.say("Error.Code", f"{code!r} is none of the errors of {operation.name}: {', '.join(sorted(known))}")


def tag_name(name):
    return name.rsplit("}", 1)[-1]


def tag(element):
    return tag_name(element.tag)


def plain(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "read"):
        return f"{len(value.read())} bytes"
    return str(value)


def main(url, region, service, operation, params):
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIALAB", "AWS_SECRET_ACCESS_KEY": "lab"}.items():
        os.environ.setdefault(name, value)
    config = botocore.config.Config(
        retries={"max_attempts": 0}, s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=20, parameter_validation=True)
    client = botocore.session.get_session().create_client(service, region_name=region, endpoint_url=url, config=config)
    modernise(service, client.meta.service_model)
    model, raw = client.meta.service_model.operation_model(operation), {}

    def received(response_dict=None, **_):
        if response_dict:
            body = response_dict["body"]
            raw.update(response_dict, body=body if isinstance(body, bytes) else b"")

    client.meta.events.register("response-received", received)
    check = Check()
    try:
        parsed = client._make_api_call(operation, json.loads(params))
    except botocore.exceptions.ClientError as e:
        check.error(model, e.response.get("Error", {}))
        print(json.dumps({"Error": e.response["Error"], "Status": e.response["ResponseMetadata"].get("HTTPStatusCode")}))
        return report(check) or 2
    except (botocore.exceptions.BotoCoreError, botocore.parsers.ResponseParserError, ValueError) as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return 3
    parsed.pop("ResponseMetadata", None)
    check.response(model, raw)
    print(json.dumps(parsed, default=plain))
    return report(check)


def report(check):
    for line in check.wrong:
        print(line, file=sys.stderr)
    return 1 if check.wrong else 0


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
