"""docs/openapi.json: the REST API as OpenAPI 3.1."""

import json

from .c_text import GENERATED, string
from .load import camel

SCALARS = {
    "string": {"type": "string"},
    "name": {"type": "string", "pattern": "^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$"},
    "path": {"type": "string", "pattern": "^/"},
    "time": {"type": "string", "format": "date-time"},
    "int": {"type": "integer", "format": "int64"},
    "size": {"type": "integer", "format": "int64"},
    "duration": {"type": "integer", "format": "int64"},
    "real": {"type": "number"},
    "bool": {"type": "boolean"},
    "json": {},
    "patch": {"$ref": "#/components/schemas/SpecPatch"},
    "spec": {"$ref": "#/components/schemas/Spec"},
}
UNITS = {"size": " Bytes; requests may also say `4G`.", "duration": " Milliseconds; requests may also say `90s`."}
TEXT_UNITS = {"size": "^[0-9]+(\\.[0-9]+)?([kKMGT](i?B)?|B)?$", "duration": "^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)?$"}
PROBLEM = {
    "description": "What went wrong.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
PAGES = {
    "/v1/version": ("The daemon's version", "application/json", {
        "type": "object", "required": ["name", "version", "mode"],
        "properties": {"name": {"const": "hostler"}, "version": {"type": "string"}, "mode": {"enum": ["system", "session"]}}}),
    "/v1/openapi.json": ("This document", "application/json", {"type": "object"}),
    "/metrics": ("Figures, as OpenMetrics text", "application/openmetrics-text", {"type": "string"}),
}


def document(model):
    return json.dumps({
        "openapi": "3.1.0",
        "info": {"title": "Hostler", "version": "1", "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
                 "description": "Virtual machines on stock QEMU. Verbs with side effects are jobs: they answer 202 with the job, and "
                                "`GET /v1/jobs/{job}?wait=30s` waits for its end. Errors are problem documents (RFC 9457)."},
        "servers": [{"url": "/", "description": "The daemon's Unix socket."}],
        "tags": [{"name": noun.name, "description": noun.doc} for noun in model.nouns.values()],
        "paths": paths(model),
        "components": {"schemas": schemas(model)},
    }, indent=2, ensure_ascii=False) + "\n"


def c_string(model):
    """The document for the daemon to serve; compact, in pieces that every compiler takes."""
    text = json.dumps(json.loads(document(model)), separators=(",", ":"), ensure_ascii=False)
    pieces = "\n".join("        " + string(text[start:start + 100]) for start in range(0, len(text), 100))
    return f"{GENERATED}#include \"hostler-openapi.h\"\n\nconst char hostler_openapi[] =\n{pieces};\n"


def c_header(_model):
    return f"{GENERATED}#pragma once\n\n/* The OpenAPI document of this daemon's API, JSON text. */\nextern const char hostler_openapi[];\n"


def paths(model):
    found = {}
    for verb in model.verbs.values():
        found.setdefault(verb.path, {})[verb.method.lower()] = operation(verb, model)
    for path, (summary, kind, schema) in PAGES.items():
        found[path] = {"get": {"summary": summary, "responses": {"200": {"description": summary, "content": {kind: {"schema": schema}}}}}}
    return found


def operation(verb, model):
    in_query = verb.method in ("GET", "DELETE")
    parameters = [parameter(field, "path" if field.in_path else "query", model) for field in verb.args.fields
                  if field.in_path or (in_query and field.name != "generation")]
    if verb.kind == "job":
        parameters.append({"name": "dryRun", "in": "query", "schema": {"type": "boolean", "default": False},
                           "description": "Answer 200 with the steps, and do nothing."})
        parameters.append({"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                           "description": "The same request with the same key gives the same job, for 24 hours."})
    if any(field.name == "generation" for field in verb.args.fields):
        parameters.append({"name": "If-Match", "in": "header", "schema": {"type": "string"},
                           "description": "Refuse with 412 unless the object still has this ETag."})
    described = {"operationId": verb.id, "tags": [verb.noun], "summary": verb.summary,
                 "description": f"{verb.doc}\n\nRole: {verb.role}.", "parameters": parameters}
    body = [field for field in verb.args.fields if not field.in_path]
    if not in_query:
        described["requestBody"] = {"required": any(field.required for field in body), "content": {
            "application/json": {"schema": struct(body, model, request=True)}}}
    return described | {"responses": responses(verb)}


def parameter(field, place, model):
    return {"name": field.name, "in": place, "required": field.required or place == "path", "description": field.doc,
            "schema": value(field, model, request=True)}


def responses(verb):
    if verb.id == "event.watch":
        answers = {"200": {"description": "Server-sent events, each with an `event` as data.", "content": {"text/event-stream": {}}}}
    elif verb.kind == "job":
        job = {"application/json": {"schema": ref("job")}}
        answers = {"202": {"description": "The job.", "content": job, "headers": {
            "Location": {"description": "The job's path.", "schema": {"type": "string"}}}},
            "200": {"description": "In a dry run: the steps.", "content": {"application/json": {"schema": {
                "type": "object", "required": ["steps"], "additionalProperties": False,
                "properties": {"steps": {"type": "array", "items": ref("job_step")}}}}}}}
    elif verb.streams and not verb.result:
        answers = {"101": {"description": "A WebSocket follows."}}
    elif not verb.result:
        answers = {"204": {"description": "Done."}}
    else:
        schema = {"type": "array", "items": ref(verb.result)} if verb.result_shape == "list" else ref(verb.result)
        answers = {"200": {"description": "The answer.", "content": {"application/json": {"schema": schema}}}}
    return answers | {"default": PROBLEM}


def ref(name):
    return {"$ref": f"#/components/schemas/{camel(name)}"}


def struct(fields, model, request):
    made = {"type": "object", "additionalProperties": False, "properties": {field.name: value(field, model, request) | about(field, model)
                                                                            for field in fields}}
    required = [field.name for field in fields if field.required or (not request and field.type in ("bool", "list:record", "spec"))]
    return made | ({"required": required} if required else {})


def about(field, model):
    described = {"description": field.doc + UNITS.get(field.type, "")}
    if field.type == "enum":
        described["description"] += "".join(f"\n- `{name}`: {doc}" for name, doc in model.enums[field.target].values.items())
    if field.default is not None:
        described["default"] = field.default
    if field.secret:
        described["writeOnly"] = True
    return described


def value(field, model, request):
    if field.type == "enum":
        return {"type": "string", "enum": list(model.enums[field.target].values)}
    if field.type == "record":
        return ref(field.target)
    if field.type == "list:record":
        return {"type": "array", "items": ref(field.target)}
    if field.type == "list:string":
        return {"type": "array", "items": text_limits({"type": "string"}, None, None, field.pattern)} | counts(field)
    schema = dict(SCALARS[field.type])
    if field.type in ("string", "name", "path"):
        return text_limits(schema, field.min, field.max, field.pattern)
    for key, limit in (("minimum", field.min), ("maximum", field.max), ("multipleOf", field.multiple or None)):
        if limit is not None and field.type in ("int", "size", "duration", "real"):
            schema[key] = limit
    return {"anyOf": [schema, {"type": "string", "pattern": TEXT_UNITS[field.type]}]} if request and field.type in TEXT_UNITS else schema


def counts(field):
    return {key: limit for key, limit in (("minItems", field.min), ("maxItems", field.max)) if limit is not None}


def text_limits(schema, least, most, pattern):
    """Lengths are bytes for Hostler and characters for JSON Schema: the schema's are never narrower."""
    if least:
        schema["minLength"] = 1
    if most is not None:
        schema["maxLength"] = most
    if pattern:
        schema["pattern"] = f"^(?:{pattern})$"
    return schema


def schemas(model):
    made = {camel(record.name): {"description": record.doc} | struct(record.fields, model, request=False)
            for record in model.records.values()}
    for device in model.devices.values():
        made[camel(device.props.name)] = {"description": device.doc} | part(device, model)
    made["Spec"] = spec(model)
    made["SpecPatch"] = {"type": "object", "description": "JSON Merge Patch (RFC 7396) of a spec: null removes a part, or takes a "
                         "property back to its default.", "additionalProperties": {"type": ["object", "null"]}}
    made["Problem"] = problem(model)
    return made


def part(device, model):
    """The properties of a part, with the `kind` that one with a name of its own has."""
    made = struct(device.props.fields, model, request=False)
    made["properties"] = {"kind": {"const": device.kind}} | made["properties"]
    return made


def spec(model):
    free = [device for device in model.devices.values() if not device.single]
    return {
        "type": "object",
        "description": "What is wanted: named parts. A part named after its kind (`cpu`, `disk0`) need not say `kind`; the others must.",
        "properties": {device.kind: ref(device.props.name) for device in model.devices.values() if device.single},
        "patternProperties": {f"^{device.kind}(0|[1-9][0-9]*)$": ref(device.props.name) for device in free},
        "additionalProperties": {"type": "object", "required": ["kind"], "oneOf": [ref(device.props.name) for device in free]},
    }


def problem(model):
    cause = {"type": "object", "required": ["detail"], "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}}}
    return {
        "type": "object",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {"type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
                       "code": {"type": "string", "enum": list(model.errors)}, "detail": {"type": "string"},
                       "object": {"type": "string"}, "causes": {"type": "array", "items": cause}, "hint": {"type": "string"}},
    }
