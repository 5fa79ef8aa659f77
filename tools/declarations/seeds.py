"""test/fuzz/seeds/record: what the fuzzer of record.c starts from: the name of a type on the first line, then a document that it takes."""

import json
import re

# Something for each pattern that a declaration has so far; a pattern that none of these match is left out of the seeds.
WORDS = ("tiny", "52:54:00:12:34:56", "tcp:2222:22", "max")
PLAIN = {"name": "web1", "path": "/srv/disk.img", "time": "2030-01-31T12:00:00.000Z", "bool": True, "real": 12.5, "json": {"a": [1]},
         "patch": {"cpu": {"count": 2}, "disk1": None}}


def files(model):
    types = {verb.id: verb.args for verb in model.verbs.values()} | {record.name: record for record in model.records.values()}
    seeds = {name: document(struct.fields, model) for name, struct in types.items()}
    seeds["spec"] = spec(model)
    return {f"test/fuzz/seeds/record/{name}": f"{name}\n{json.dumps(value)}\n" for name, value in seeds.items()}


def spec(model):
    parts = {device.kind + ("" if device.single else "0"): document(device.props.fields, model) for device in model.devices.values()}
    free = next(device for device in model.devices.values() if not device.single)
    return parts | {"data": {"kind": free.kind} | document(free.props.fields, model)}


def document(fields, model):
    values = {field.name: value(field, model) for field in fields}
    return {name: sample for name, sample in values.items() if sample is not None}


def value(field, model):
    if field.default is not None:
        return field.default
    if field.type == "enum":
        return next(iter(model.enums[field.target].values))
    if field.type == "record":
        return document(model.records[field.target].fields, model)
    if field.type == "list:record":
        return [document(model.records[field.target].fields, model)]
    if field.type == "list:string":
        return [word(field)] if word(field) else None
    if field.type == "spec":
        return spec(model)
    if field.type in ("int", "size", "duration"):
        return field.min if field.min is not None else 4096
    return word(field) if field.type == "string" else PLAIN[field.type]


def word(field):
    return next((candidate for candidate in WORDS if re.fullmatch(field.pattern or ".*", candidate)), None)
