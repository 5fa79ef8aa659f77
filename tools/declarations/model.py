"""What the TOML declarations say, as values. Made and checked by load.py; the emitters only read them."""

from dataclasses import dataclass, field

UNSET = "HOSTLER_UNSET"


class DeclarationError(Exception):
    """Every fault found, one line each: file, key, what is wrong."""

    def __init__(self, faults):
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass
class Error:
    name: str
    http: int
    exit: int
    title: str
    doc: str


@dataclass
class Enum:
    name: str
    doc: str
    values: dict  # value -> doc


@dataclass
class Field:
    name: str
    type: str  # "string", "enum", "list:string", "list:record", …
    target: str | None  # the enum or record that `type` names
    doc: str
    required: bool = False
    default: object = None  # in JSON's terms: durations are ms, sizes bytes
    min: int | None = None
    max: int | None = None
    multiple: int = 0
    pattern: str | None = None
    positional: bool = False
    in_path: bool = False
    short: str | None = None
    from_file: bool = False
    client_only: bool = False
    complete: str | None = None
    cli: bool = True
    secret: bool = False
    percent: bool = False  # a number that people read with a % behind it
    live: str | None = None

    @property
    def is_list(self):
        return self.type.startswith("list:")


@dataclass
class Struct:
    """A record, the arguments of a verb, the properties of a device or the fields of an event."""

    name: str  # "vm", "vm_start_args", "cpu_props", "vm_power_event"
    doc: str
    fields: list


@dataclass
class Noun:
    name: str
    plural: str
    doc: str
    silent: bool = False
    parent: str | None = None


@dataclass
class DeviceModel:
    """One row of a kind's models: what QEMU calls it, where it sits, whether it can be plugged into a running VM."""
    name: str
    doc: str
    driver: str
    bus: str
    live: bool = False
    blocks: str | None = None  # why a VM that has it can be neither saved nor migrated
    package: str | None = None  # the package that QEMU's module for it is in
    stays: bool = False  # once plugged, QEMU would not survive its unplugging
    lingers: bool = False  # QEMU keeps its memory after it was unplugged


@dataclass
class Device:
    kind: str
    doc: str
    props: Struct
    single: bool = False
    always: bool = False
    aliases: list = field(default_factory=list)  # other names people look for it by
    models: dict = field(default_factory=dict)


@dataclass
class Event:
    kind: str
    doc: str
    fields: Struct


@dataclass
class Verb:
    noun: str
    name: str
    kind: str  # "call" or "job"
    role: str
    method: str
    path: str
    summary: str
    doc: str
    args: Struct  # without those that only the command line has
    client_args: list  # client_only fields
    all_args: list  # both, as declared
    result: str | None = None  # a record
    result_shape: str = "none"  # "none", "one", "list"
    recover: str = ""  # of a job: "undo" or "rerun"
    streams: bool = False
    urgent: bool = False
    urgent_if: str | None = None
    many: bool = False
    cli: str | None = None  # None: the generic command; "none": no command; else a hand-written one
    handler: str = ""
    aliases: dict = field(default_factory=dict)
    columns: list = field(default_factory=list)
    examples: list = field(default_factory=list)
    hidden = False

    @property
    def id(self):
        return f"{self.noun}.{self.name}"


@dataclass
class Command:
    """A command of the command line that is no verb of the daemon. Has what an emitter of commands asks a Verb for."""

    name: str
    summary: str
    doc: str
    args: Struct
    hidden: bool = False
    examples: list = field(default_factory=list)
    noun = "vm"  # the silent one
    many = False
    aliases = {}
    columns = ()
    result = None
    kind = "command"

    @property
    def id(self):
        return f"{self.noun}.{self.name}"

    @property
    def cli(self):
        return self.name

    @property
    def all_args(self):
        return self.args.fields

    @property
    def client_args(self):
        return self.args.fields


@dataclass
class Flag:
    """A flag that every command understands."""

    name: str
    doc: str
    short: str | None = None
    value: str | None = None
    words: list = field(default_factory=list)  # what the value may be, when that is known


@dataclass
class Model:
    errors: dict = field(default_factory=dict)
    enums: dict = field(default_factory=dict)
    records: dict = field(default_factory=dict)
    nouns: dict = field(default_factory=dict)
    devices: dict = field(default_factory=dict)
    events: dict = field(default_factory=dict)
    verbs: dict = field(default_factory=dict)
    commands: dict = field(default_factory=dict)
    flags: dict = field(default_factory=dict)

    def shown_commands(self):
        """All that can be typed after `hostler`, verbs first."""
        verbs = [verb for verb in self.verbs.values() if verb.cli != "none"]
        return verbs + [command for command in self.commands.values() if not command.hidden]

    def shown_nouns(self):
        """The silent noun first: it is what most people came for."""
        return sorted(self.nouns.values(), key=lambda noun: not noun.silent)

    def structs(self):
        """Every struct, in the order in which they are written out."""
        yield from self.records.values()
        yield from (device.props for device in self.devices.values())
        yield from (verb.args for verb in self.verbs.values())
        yield from (event.fields for event in self.events.values())
