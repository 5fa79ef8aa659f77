"""Reads the TOML declarations and refuses what is wrong with them: every fault is named with its file and key."""

import re
import tomllib

from .model import Command, DeclarationError, Device, DeviceModel, Enum, Error, Event, Field, Flag, Model, Noun, Struct, Verb

SCALARS = {"string", "name", "path", "time", "int", "size", "duration", "real", "bool", "spec", "patch", "json"}
TEXTS = {"string", "name", "path", "list:string"}
NUMBERS = {"int", "size", "duration"}
UNITS = {"size": {"": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40},
         "duration": {"ms": 1, "": 1000, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}}
NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")

FIELD_KEYS = {"type": str, "doc": str, "required": bool, "default": object, "min": int, "max": int, "multiple": int,
              "pattern": str, "secret": bool, "percent": bool}
ARG_KEYS = FIELD_KEYS | {"positional": bool, "in_path": bool, "short": str, "from_file": bool, "client_only": bool,
                         "complete": str, "cli": bool}
PROP_KEYS = FIELD_KEYS | {"live": str}
MODEL_KEYS = {"driver": str, "bus": str, "live": bool, "blocks": str, "package": str, "stays": bool, "lingers": bool, "doc": str}
BUSES = ("pci", "isa", "usb", "scsi", "ide", "serial", "none")
SECTION_KEYS = {
    "error": {"http": int, "exit": int, "title": str, "doc": str},
    "enum": {"doc": str, "values": dict},
    "record": {"doc": str, "include": str, "fields": dict},
    "noun": {"plural": str, "doc": str, "silent": bool, "parent": str},
    "device": {"doc": str, "single": bool, "always": bool, "aliases": list, "models": dict, "include": str, "fields": dict},
    "event": {"doc": str, "fields": dict},
    "verb": {"kind": str, "role": str, "result": str, "method": str, "path": str, "summary": str, "doc": str,
             "recover": str, "streams": bool, "urgent": bool, "urgent_if": str, "many": bool, "cli": str,
             "handler": str, "aliases": dict, "columns": list, "examples": list, "args": dict},
    "command": {"summary": str, "doc": str, "hidden": bool, "examples": list, "args": dict},
    "flag": {"doc": str, "short": str, "value": str, "words": list},
}
MUST = {"error": ("http", "exit", "title", "doc"), "enum": ("doc", "values"), "record": ("doc", "fields"),
        "noun": ("plural", "doc"), "device": ("doc",), "event": ("doc",),
        "verb": ("kind", "role", "summary", "doc"), "command": ("summary", "doc"), "flag": ("doc",)}
METHODS = {"ls": "GET", "show": "GET", "create": "POST", "add": "POST", "rm": "DELETE", "set": "PATCH"}
COMPLETIONS = {"vm", "trash", "device", "disk", "kind", "model", "setting", "image", "job", "pool", "property", "portgroup", "respool", "snapshot", "switch", "file"}


def load(paths):
    """The model of all declarations in @paths, or DeclarationError with every fault."""
    loader = Loader()
    documents = [loader.read_file(str(path)) for path in paths]
    for records in (True, False):  # records first: others include their fields
        for top, document in documents:
            loader.read_document(top, document, records)
    loader.check_references()
    if loader.faults:
        raise DeclarationError(loader.faults)
    return loader.model


class Where:
    """A place in a file that faults are reported about."""

    def __init__(self, faults, file, key):
        self.faults, self.file, self.key = faults, file, key

    def at(self, *more):
        return Where(self.faults, self.file, ".".join((self.key, *more)) if self.key else ".".join(more))

    def fault(self, text):
        self.faults.append(f"{self.file}: {self.key}: {text}")


class Loader:
    def __init__(self):
        self.model = Model()
        self.faults = []
        self.places = {}  # (section, name) -> Where
        self.fields = {}  # record -> its fields as they stand in the file

    def read_file(self, path):
        top = Where(self.faults, path[path.find("src/"):] if "src/" in path else path, "")
        try:
            with open(path, "rb") as file:
                return top, tomllib.load(file)
        except (OSError, tomllib.TOMLDecodeError) as error:
            top.at("toml").fault(str(error))
            return top, {}

    def read_document(self, top, document, records):
        for section, entries in document.items():
            if (section == "record") != records:
                continue
            if section not in SECTION_KEYS:
                top.at(section).fault(f"no such section; there are {', '.join(SECTION_KEYS)}")
            elif section == "verb":
                for noun, verbs in entries.items():
                    for name, table in verbs.items():
                        self.read_entry("verb", f"{noun}.{name}", table, top)
            else:
                for name, table in entries.items():
                    self.read_entry(section, name, table, top)

    def read_entry(self, section, name, table, top):
        where = top.at(section, name)
        if (section, name) in self.places:
            where.fault(f"declared already in {self.places[section, name].file}")
            return
        self.places[section, name] = where
        for part in name.split("."):
            if not NAME.fullmatch(part):
                where.fault("not a name: lower-case letters, digits, - and _")
        check_keys(table, SECTION_KEYS[section], where)
        missing = [key for key in MUST[section] if table.get(key) in (None, "")]
        for key in missing:
            where.fault(f"`{key}` is missing")
        if not missing:
            getattr(self, "read_" + section)(name, table, where)

    def read_error(self, name, table, where):
        if not (100 <= table["http"] <= 599 and 0 < table["exit"] < 126):
            where.fault("`http` or `exit` is out of range")
        self.model.errors[name] = Error(name, table["http"], table["exit"], table["title"], table["doc"])

    def read_enum(self, name, table, where):
        for value, doc in table["values"].items():
            if not isinstance(doc, str) or not doc:
                where.at("values", value).fault("a text is missing")
        if not table["values"]:
            where.fault("has no values")
        self.model.enums[name] = Enum(name, table["doc"], dict(table["values"]))

    def included(self, table, where, **more):
        """The fields of the record that @table includes, each with @more."""
        record = table.get("include")
        if record is not None and record not in self.fields:
            where.at("include").fault(f"no such record, or one declared later: {record}")
        return {name: field | more for name, field in self.fields.get(record, {}).items()}

    def read_record(self, name, table, where):
        table = table | {"fields": table["fields"] | self.included(table, where)}
        self.fields[name] = table["fields"]
        self.model.records[name] = self.read_struct(name, table["doc"], table["fields"], FIELD_KEYS, where.at("fields"))

    def read_noun(self, name, table, where):
        self.model.nouns[name] = Noun(name, table["plural"], table["doc"], table.get("silent", False), table.get("parent"))

    def read_device(self, name, table, where):
        models = self.read_models(name, table.get("models", {}), where)
        table = {"fields": {}} | table
        table = table | {"fields": table["fields"] | self.included(table, where, live="now")}
        if not models and not table["fields"]:
            where.fault("`fields` is missing")
        if models and "model" not in table["fields"]:
            first = {"type": f"enum:{name}_model", "default": next(iter(models)), "live": "restart", "doc": "What the guest sees."}
            table = table | {"fields": {"model": first} | table["fields"]}
        props = self.read_struct(f"{name}_props", table["doc"], table["fields"], PROP_KEYS, where.at("fields"))
        for prop in props.fields:
            if prop.live not in ("now", "restart", "never"):
                where.at("fields", prop.name).fault("`live` must be now, restart or never")
            if prop.name == "kind":
                where.at("fields", prop.name).fault("`kind` is the part's own")
        self.model.devices[name] = Device(name, table["doc"], props, table.get("single", False), table.get("always", False),
                                          table.get("aliases", []), models)
        if table.get("always") and not table.get("single"):
            where.fault("`always` needs `single`")

    def read_models(self, kind, tables, where):
        """The rows of a kind's models; their names become the enum of its property `model`."""
        models = {}
        for name, table in tables.items():
            here = where.at("models", name)
            if not isinstance(table, dict) or not check_keys(table, MODEL_KEYS, here):
                here.fault("must be a table: { driver = …, bus = …, live = …, doc = … }")
                continue
            if not table.get("doc") or table.get("bus") not in BUSES:
                here.fault(f"needs `doc`, and `bus`: one of {', '.join(BUSES)}")
                continue
            models[name] = DeviceModel(name, table["doc"], table.get("driver", ""), table["bus"], table.get("live", False), table.get("blocks"),
                                       table.get("package"), table.get("stays", False), table.get("lingers", False))
        if models:
            self.model.enums[f"{kind}_model"] = Enum(f"{kind}_model", f"Models of {kind}.", {model.name: model.doc for model in models.values()})
        return models

    def read_event(self, name, table, where):
        fields = self.read_struct(f"{c_name(name)}_event", table["doc"], table.get("fields", {}), FIELD_KEYS, where.at("fields"))
        self.model.events[name] = Event(name, table["doc"], fields)

    def read_verb(self, name, table, where):
        noun, verb = name.split(".")
        args = self.read_struct(f"{c_name(noun)}_{c_name(verb)}_args", table["summary"], table.get("args", {}), ARG_KEYS,
                                where.at("args"))
        shape, record = split_result(table.get("result"))
        own_keys = SECTION_KEYS["verb"].keys() - {"args", "result", "method", "path", "handler"}
        self.model.verbs[name] = Verb(
            noun=noun, name=verb, method=table.get("method", METHODS.get(verb, "POST")), path=table.get("path", ""),
            handler=table.get("handler", f"{c_name(noun)}_{c_name(verb)}"), result=record, result_shape=shape,
            args=Struct(args.name, args.doc, [field for field in args.fields if not field.client_only]),
            client_args=[field for field in args.fields if field.client_only], all_args=args.fields,
            **{key: value for key, value in table.items() if key in own_keys})

    def read_command(self, name, table, where):
        args = self.read_struct(f"{c_name(name)}_command", table["summary"], table.get("args", {}), ARG_KEYS, where.at("args"))
        self.model.commands[name] = Command(name, table["summary"], table["doc"], args, table.get("hidden", False),
                                            table.get("examples", []))

    def read_flag(self, name, table, where):
        self.model.flags[name] = Flag(name, table["doc"], table.get("short"), table.get("value"), table.get("words", []))

    def read_struct(self, name, doc, tables, keys, where):
        fields = [self.read_field(key, table, keys, where.at(key)) for key, table in tables.items()]
        return Struct(name, doc, [field for field in fields if field])

    def read_field(self, name, table, keys, where):
        if not NAME.fullmatch(name):
            where.fault("not a name: lower-case letters, digits, - and _")
        if not isinstance(table, dict):
            where.fault("must be a table: { type = …, doc = … }")
            return None
        known = check_keys(table, keys, where)
        for key in ("type", "doc"):
            if not table.get(key):
                where.fault(f"`{key}` is missing")
        if not known or not table.get("type") or not table.get("doc"):
            return None
        kind, target = split_type(table["type"])
        if kind is None:
            where.fault(f"no such type: {table['type']}")
            return None
        field = Field(**({"name": name, "target": target} | table | {"type": kind}))
        check_limits(field, where)
        return field

    # ---- what spans declarations ----

    def check_references(self):
        model = self.model
        for name, record in model.records.items():
            self.check_fields(record.fields, self.places["record", name].at("fields"))
        for name, device in model.devices.items():
            self.check_fields(device.props.fields, self.places["device", name].at("fields"))
        for name, event in model.events.items():
            self.check_fields(event.fields.fields, self.places["event", name].at("fields"))
        for name, command in model.commands.items():
            self.check_fields(command.all_args, self.places["command", name].at("args"))
        for noun in model.nouns.values():
            if noun.parent and noun.parent not in model.nouns:
                self.places["noun", noun.name].fault(f"no such parent: {noun.parent}")
        for name, verb in model.verbs.items():
            where = self.places["verb", name]
            self.check_fields(verb.all_args, where.at("args"))
            if verb.noun not in model.nouns:
                where.fault(f"no such noun: {verb.noun}")
            else:
                self.check_verb(verb, where)
        self.check_unique_names()

    def check_fields(self, fields, where):
        for field in fields:
            here = where.at(field.name)
            known = {"enum": self.model.enums, "record": self.model.records, "list:record": self.model.records}.get(field.type)
            if known is not None and field.target not in known:
                here.fault(f"no such {field.type.removeprefix('list:')}: {field.target}")
                continue
            field.default = self.default_value(field, here)

    def default_value(self, field, where):
        """The default in JSON's terms, checked."""
        value = field.default
        if value is None:
            return None
        if field.type in UNITS and isinstance(value, str):
            value = parse_units(field.type, value)
        valid = {"int": int, "size": int, "duration": int, "bool": bool, "real": float, "enum": str}.get(field.type)
        if valid is None:
            where.fault(f"a {field.type} has no default")
        elif type(value) is not valid:
            where.fault(f"the default is not a {field.type}: {field.default!r}")
        elif field.type == "enum" and value not in self.model.enums[field.target].values:
            where.fault(f"the default is not a value of enum {field.target}: {value}")
        elif field.type in NUMBERS and not in_range(field, value):
            where.fault(f"the default is out of range: {field.default!r}")
        return value

    def check_verb(self, verb, where):
        model = self.model
        expect(verb.kind in ("call", "job"), where, "`kind` must be call or job")
        expect(verb.role in ("none", "viewer", "operator", "admin"), where, "`role` must be none, viewer, operator or admin")
        expect(verb.method in ("GET", "POST", "PUT", "PATCH", "DELETE"), where, f"no such method: {verb.method}")
        expect((verb.recover in ("undo", "rerun")) == (verb.kind == "job"), where,
               "a job says what becomes of it when the daemon dies: `recover` = undo or rerun; a call does not")
        expect(verb.result is None or verb.result in model.records, where, f"no such record as result: {verb.result}")
        args = {field.name: field for field in verb.args.fields}
        expect(verb.urgent_if is None or args.get(verb.urgent_if) and args[verb.urgent_if].type == "bool", where,
               f"`urgent_if` is not a bool argument: {verb.urgent_if}")
        verb.path = verb.path or default_path(verb, model)
        in_path = {field.name for field in verb.args.fields if field.in_path}
        expect(set(re.findall(r"{(\w+)}", verb.path)) == in_path, where,
               f"the arguments with in_path are {sorted(in_path)}, but the path is {verb.path}")
        self.check_command(verb, where)

    def check_command(self, verb, where):
        shorts = [field.short for field in verb.all_args if field.short]
        expect(len(shorts) == len(set(shorts)), where, "two arguments have the same short flag")
        rest = False
        for field in verb.all_args:
            here = where.at("args", field.name)
            expect(not field.short or re.fullmatch("[a-zA-Z]", field.short), here, "`short` is one letter")
            expect(field.complete in COMPLETIONS | {None}, here, f"nothing completes `{field.complete}`")
            expect(field.type != "bool" or not field.default, here, "a switch that is on cannot be turned off: name it the other way")
            expect(not (field.positional and rest), here, "stands after an argument that takes all remaining words")
            rest = rest or field.positional and (field.is_list or field.type == "patch")
        args = {field.name: field for field in verb.args.fields}
        for alias, preset in verb.aliases.items():
            for name in preset:
                expect(name in args, where.at("aliases", alias), f"no such argument: {name}")
        expect(not verb.columns or verb.result, where, "`columns` without a result")
        for column in verb.columns:
            for path in column.split("|"):
                if verb.result in self.model.records and not self.column_exists(verb.result, path.split(".")):
                    where.at("columns").fault(f"record {verb.result} has no {path}")

    def column_exists(self, record, path):
        field = next((field for field in self.model.records[record].fields if field.name == path[0]), None)
        if field is None:
            return False
        if field.type == "spec" and len(path) == 3:
            device = self.model.devices.get(path[1])
            return device is not None and any(prop.name == path[2] for prop in device.props.fields)
        if len(path) == 1:
            return True
        return field.type in ("record", "list:record") and self.column_exists(field.target, path[1:])

    def check_unique_names(self):
        seen = {}
        for struct in self.model.structs():
            if struct.name in seen:
                self.faults.append(f"{struct.name}: two declarations would have the C name Hostler{camel(struct.name)}")
            seen[struct.name] = struct
        routes, words = {}, {}
        for name, verb in self.model.verbs.items():
            where = self.places["verb", name]
            route = (verb.method, re.sub(r"{\w+}", "{}", verb.path))
            expect(route not in routes, where, f"has the route of {routes.get(route)}: {verb.method} {verb.path}")
            routes[route] = name
            for word in (verb.name, *verb.aliases):
                expect((verb.noun, word) not in words, where, f"the word `{word}` is taken by {words.get((verb.noun, word))}")
                words[verb.noun, word] = name


def expect(condition, where, text):
    if not condition:
        where.fault(text)


def check_keys(table, known, where):
    """Whether @table has only @known keys with values of their types."""
    wrong = False
    for key, value in table.items():
        if key not in known:
            where.at(key).fault(f"no such attribute; there are {', '.join(sorted(known))}")
            wrong = True
        elif known[key] is not object and type(value) is not known[key]:
            where.at(key).fault(f"must be a {known[key].__name__}")
            wrong = True
    return not wrong


def split_type(text):
    """("list:record", "vm") from "list:vm"; (None, None) when there is no such type."""
    head, _, target = text.partition(":")
    if text in SCALARS or text == "list:string":
        return text, None
    if target and head in ("enum", "record"):
        return head, target
    if target and head == "list" and target not in SCALARS:
        return "list:record", target
    return None, None


def split_result(text):
    """("list", "vm") from "list:vm", ("one", "vm") from "vm", ("none", None) from nothing."""
    if text is None:
        return "none", None
    head, _, record = text.partition(":")
    return ("list", record) if head == "list" else ("one", text)


def check_limits(field, where):
    lengths_or_ranges = TEXTS | NUMBERS | {"real", "list:record", "patch"}
    expect((field.min is None and field.max is None) or field.type in lengths_or_ranges, where, f"a {field.type} has no min or max")
    expect(field.min is None or field.max is None or field.min <= field.max, where, "min is over max")
    expect(not field.multiple or field.type in NUMBERS, where, f"a {field.type} has no multiple")
    expect(not field.pattern or field.type in ("string", "list:string"), where, f"a {field.type} has no pattern")
    expect(not field.required or field.default is None, where, "a required value has no default")
    expect(not field.from_file or field.type == "string", where, "`from_file` is for strings")
    try:
        re.compile(field.pattern or "")
    except re.error as error:
        where.fault(f"the pattern is not a regular expression: {error}")


def parse_units(kind, text):
    match = re.fullmatch(r"([0-9]+)([A-Za-z]*)", text)
    if not match or match[2] not in UNITS[kind]:
        return text
    return int(match[1]) * UNITS[kind][match[2]]


def in_range(field, value):
    return ((field.min is None or value >= field.min) and (field.max is None or value <= field.max)
            and (not field.multiple or value % field.multiple == 0))


def default_path(verb, model):
    noun = model.nouns[verb.noun]
    parent = model.nouns.get(noun.parent)
    collection = f"/v1/{parent.plural}/{{{parent.name}}}/{noun.plural}" if parent else f"/v1/{noun.plural}"
    if verb.name in ("ls", "create", "add"):
        return collection
    item = f"{collection}/{{{verb.noun}}}"
    return item if verb.name in ("show", "rm", "set") else f"{item}/{verb.name}"


def c_name(name):
    return name.replace("-", "_")


def camel(name):
    return "".join(part.capitalize() for part in re.split("[_-]", name))
