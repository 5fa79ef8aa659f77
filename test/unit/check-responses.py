#!/usr/bin/env python3
"""Runs the API's tests and holds every response against docs/openapi.json: status, content type, schema.

    check-responses.py TEST-API OPENAPI.JSON
"""

import json
import os
import re
import subprocess
import sys
import tempfile

import jsonschema

# Answers that are no part of the description: the hint at /, and what is refused before a verb is known.
HINT = "/"


def main(program, description):
    with open(description, encoding="utf-8") as file:
        document = json.load(file)
    faults, reached = [], set()
    responses = record(program)
    for response in responses:
        operation = operation_of(document, response)
        reached.add(operation and operation["operationId"] if operation and "operationId" in operation else None)
        faults.extend(f"{response['method']} {response['path']} {response['status']}: {fault}"
                      for fault in check(document, operation, response))
    print(f"{len(responses)} responses, {len(reached - {None})} operations")
    print("\n".join(sorted(set(faults))[:50]))
    if faults or len(responses) < 300:
        sys.exit("a response is not as described" if faults else "the tests recorded too little")


def record(program):
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as kept:
        subprocess.run([program], env=os.environ | {"HOSTLER_API_RECORD": kept.name}, stdout=subprocess.DEVNULL, check=True)
        return [json.loads(line) for line in kept]


def operation_of(document, response):
    """What describes the response: None for what no path or method does."""
    path = response["path"].split("?")[0]
    for template, methods in sorted(document["paths"].items(), key=lambda item: item[0].count("{")):
        if re.fullmatch(re.sub(r"\{[a-z_]+\}", "[^/]+", template), path):
            return methods.get(response["method"].lower())
    return None


def check(document, operation, response):
    if operation is None:
        if response["path"] == HINT and response["status"] == 200:
            return []
        return validate(document, {"$ref": "#/components/schemas/Problem"}, response["json"])
    answers = operation["responses"]
    answer = answers.get(str(response["status"])) or (answers.get("default") if response["status"] >= 400 else None)
    if answer is None and response["status"] >= 400:
        return validate(document, {"$ref": "#/components/schemas/Problem"}, response["json"])
    if answer is None:
        return ["a status that is not described"]
    if "content" not in answer:
        return [] if not response["text"] and response["json"] is None else ["a body where none is described"]
    kind = (response["type"] or "").split(";")[0]
    if kind not in answer["content"]:
        return [f"the type {kind} is not described"]
    schema = answer["content"][kind].get("schema", {})
    return validate(document, schema, response["text"] if response["json"] is None else response["json"])


def validate(document, schema, value):
    validator = jsonschema.Draft202012Validator(schema | {"components": document["components"]},
                                                format_checker=jsonschema.FormatChecker())
    return [f"{'/'.join(map(str, fault.absolute_path))}: {fault.message[:200]}" for fault in validator.iter_errors(value)]


if __name__ == "__main__":
    main(*sys.argv[1:])
