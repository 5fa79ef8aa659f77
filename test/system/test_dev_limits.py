"""Numbers at the edge of what QEMU takes, and devices that come and go a hundred times: the guest must not notice more than it should.

Kinds, models, ranges come from the API's own description, so a device that is added is tested here without another line.
"""
import itertools
import pathlib

from api import Api, Problem
from harness import limit, wait_until

PATIENCE_S = 60
HUGE = (2**31 - 1, 2**32, 2**63 - 1)
# What a value needs beside it to be looked at at all.
COMPANIONS = {"disk": {"size": 8 << 20}, "mpeg": {"source": "/etc/hostname"}}
# Numbers of the machine itself are changed, not plugged: see edges_of().
SKIPPED = {("memory", "max"), ("cpu", "max")}
# What may be answered to a value: that it is none, or none for this guest or this host.
REFUSALS = {"invalid", "failed", "unsupported", "no-capacity", "exists", "busy", "wrong-state"}


def kinds(daemon):
    """{kind: its properties as JSON schema}."""
    schemas = Api(daemon.socket).call("GET", "/v1/openapi.json")["components"]["schemas"]
    return {schema["properties"]["kind"]["const"]: schema["properties"] for name, schema in schemas.items()
            if name.endswith("Props") and "const" in schema.get("properties", {}).get("kind", {})}


def edges_of(schema, whole):
    """Each edge, what is one and one step beside it, and what no range reaches: (value, whether the declaration allows it).

    What is inside beside an edge only as @whole: it is not refused at once, and there are many.
    """
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf", 1)
    edges = {edge for edge in (low, high) if edge is not None}
    beside = {edge + offset for edge in edges for offset in (-step, -1, 0, 1, step)}

    def allowed(value):
        return (low is None or value >= low) and (high is None or value <= high) and value % step == 0
    return [(value, allowed(value)) for value in sorted(beside | set(HUGE)) if value in edges or (whole and value in beside) or not allowed(value)]


def numbers(properties):
    return {name: schema for name, schema in properties.items() if schema.get("type") == "integer"}


def models(properties):
    return properties.get("model", {}).get("enum", [None])


def add(api, kind, values):
    """Tries it; true when it was taken. Refused it may be for its value, or because the host has no such thing."""
    words = [f"{name}={value}" for name, value in values.items()]
    try:
        job = api.wait_job(api.call("POST", "/v1/vms/web1/devices", {"kind": kind, "words": words}))
    except Problem as problem:
        assert problem.code in REFUSALS, f"{kind} {values}: {problem}"
        return False
    assert job["state"] == "done" or job["error"]["code"] in REFUSALS, f"{kind} {values}: {job}"
    return job["state"] == "done"


def parts(api):
    return {name: part.get("kind", name.rstrip("0123456789")) for name, part in api.call("GET", "/v1/vms/web1")["spec"].items()}


def remove(daemon, name, kind):
    """A disk goes with its volume, or its name would not be free again."""
    daemon.hostler("disk" if kind == "disk" else "device", "rm", "web1", name)


def remove_all(api, before):
    """Whatever has come: disks with their volumes, the rest in one change, in which what stands on others goes first by itself."""
    added = {name: kind for name, kind in parts(api).items() if name not in before}
    for name in [name for name, kind in added.items() if kind == "disk"]:
        api.job("DELETE", f"/v1/vms/web1/disks/{name}")
        del added[name]
    if added:
        api.job("PATCH", "/v1/vms/web1", {"spec": dict.fromkeys(added)})


def check_edges(api, kind, properties, before):
    for model, (name, schema) in itertools.product(models(properties), numbers(properties).items()):
        for value, allowed in edges_of(schema, whole=model == models(properties)[0]):
            if (kind, name) in SKIPPED:
                continue
            values = COMPANIONS.get(kind, {}) | ({"model": model} if model else {}) | {name: value}
            taken = add(api, kind, values)
            assert allowed or not taken, f"{kind}.{name}={value} ({model}) is out of range and was taken"
            if taken:
                remove_all(api, before)
        power = api.call("GET", "/v1/vms/web1")["status"]["power"]
        assert power == "running", f"the guest did not survive {kind}.{name} of {model}: it is {power}"


@limit(900)
def test_values_at_the_edge_of_every_range_leave_the_guest_alive(daemon):
    daemon.create("web1")
    pid = daemon.show("web1")["status"]["pid"]
    api = Api(daemon.socket)
    before = parts(api)
    for kind, properties in kinds(daemon).items():
        check_edges(api, kind, properties, before)
        assert daemon.show("web1")["status"]["pid"] == pid
    assert daemon.guest("web1", "echo", "alive") == "alive"


# ---- a hundred times ----

ROUNDS = 20
COMING = {"disk7": "kind=disk size=8M", "nic7": "kind=nic", "serial7": "kind=serial model=pci-serial", "sound7": "kind=sound", "usb7": "kind=usb"}


def files_of(pid):
    return sum(1 for _ in pathlib.Path(f"/proc/{pid}/fd").iterdir())


def resident(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def known(daemon, names):
    return {device["name"] for device in daemon.json("device", "ls", "web1")} & set(names)


def one_round(daemon, coming):
    for name, words in coming.items():
        kind, *properties = words.removeprefix("kind=").split()
        daemon.hostler("device", "add", "web1", kind, name, *properties)
    assert known(daemon, coming) == set(coming)
    for name, words in coming.items():
        remove(daemon, name, words.removeprefix("kind=").split()[0])
    assert not known(daemon, coming)


@limit(900)
def test_devices_come_and_go_a_hundred_times_and_leave_nothing(daemon):
    available = kinds(daemon)
    coming = {name: words for name, words in COMING.items() if words.removeprefix("kind=").split()[0] in available}
    daemon.create("web1")
    for _ in range(2):
        one_round(daemon, coming)  # what is allocated once stays
    pid = daemon.show("web1")["status"]["pid"]
    before = files_of(pid), files_of(daemon.process.pid)
    memory = resident(pid)
    pci = daemon.guest("web1", "ls", "/sys/bus/pci/devices")
    for _ in range(ROUNDS):
        one_round(daemon, coming)
    wait_until(lambda: (files_of(pid), files_of(daemon.process.pid)) == before, PATIENCE_S,
               lambda: f"descriptors of QEMU and hostlerd: {before} before, {files_of(pid), files_of(daemon.process.pid)} after")
    assert daemon.guest("web1", "ls", "/sys/bus/pci/devices") == pci
    assert resident(pid) - memory < 64 * 1024, "QEMU grew with each device"
    assert daemon.guest("web1", "echo", "alive") == "alive"
