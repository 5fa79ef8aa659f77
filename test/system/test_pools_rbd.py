"""Pools of a real Ceph cluster: volumes, snapshots, clones and moves in them. Starting one costs more than most tests, so it is started when
HOSTLER_TEST_CEPH is set; it needs ceph-mon, ceph-osd, ceph-mgr, ceph-common and qemu-block-extra."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid

from harness import Daemon, limit, skip, wait_until

MIB = 1 << 20
CONF = """[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{port}/0]
keyring = {folder}/$name.keyring
ms bind ipv6 = false
ms bind msgr1 = false
public network = 127.0.0.0/8
osd pool default size = 1
osd pool default min size = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 1
osd client watch timeout = 5
[mon]
mon data = {folder}/mon
mon initial members = a
[mgr]
mgr data = {folder}/mgr
mgr initial modules =
mgr stats period = 1
[osd]
osd objectstore = memstore
memstore device bytes = 1073741824
osd data = {folder}/osd
"""
DAEMONS = "admin socket = {folder}/$name.asok\nlog file = {folder}/$name.log\nrun dir = {folder}\n"


class Ceph:
    """A monitor, a manager and an OSD that keeps all in memory, in a folder of their own."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ceph-", dir=os.environ.get("HOSTLER_TEST_FOLDER")))
        self.conf = self.folder / "ceph.conf"
        self.processes = []
        self.fsid = str(uuid.uuid4())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        text = CONF.format(fsid=self.fsid, port=self.port, folder=self.folder)
        for section in ("[mon]\n", "[mgr]\n", "[osd]\n"):
            text = text.replace(section, section + DAEMONS.format(folder=self.folder))
        self.conf.write_text(text)

    def __enter__(self):
        self.start_mon()
        self.start_mgr()
        self.start_osd()
        self.ceph("osd", "pool", "create", "vms", "8")
        self.ceph("osd", "pool", "application", "enable", "vms", "rbd")
        self.rbd("namespace", "create", "vms/ours")
        self.key("client.hostler", "--cap", "mon", "profile rbd", "--cap", "osd", "profile rbd pool=vms", "--cap", "mgr", "profile rbd pool=vms")
        self.ceph("auth", "import", "-i", self.folder / "client.hostler.keyring")
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.folder)

    def tool(self, *argv, input=None):
        done = subprocess.run(list(map(str, argv)), input=input, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def ceph(self, *words, **options):
        return self.tool("ceph", "-c", self.conf, "--connect-timeout", "60", *words, **options)

    def rbd(self, *words):
        return self.tool("rbd", "-c", self.conf, *words)

    def key(self, name, *caps):
        self.tool("ceph-authtool", "--create-keyring", self.folder / f"{name}.keyring", "--gen-key", "-n", name, *caps)

    def spawn(self, program, name):
        with open(self.folder / f"{program}.out", "wb") as out:
            self.processes.append(subprocess.Popen([program, "-c", self.conf, "-f", "-i", name], stdout=out, stderr=out, stdin=subprocess.DEVNULL))

    def start_mon(self):
        keyring, admin = self.folder / "mon.keyring", self.folder / "client.admin.keyring"
        self.key("client.admin", "--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
        self.key("mon.", "--cap", "mon", "allow *")
        (self.folder / "mon..keyring").rename(keyring)
        self.tool("ceph-authtool", keyring, "--import-keyring", admin)
        self.tool("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", f"[v2:127.0.0.1:{self.port}/0]", self.folder / "monmap")
        self.tool("ceph-mon", "-c", self.conf, "--mkfs", "-i", "a", "--monmap", self.folder / "monmap", "--keyring", keyring)
        self.spawn("ceph-mon", "a")

    def start_mgr(self):
        (self.folder / "mgr").mkdir()
        text = self.ceph("auth", "get-or-create", "mgr.a", "mon", "allow profile mgr", "osd", "allow *", "mds", "allow *")
        (self.folder / "mgr.a.keyring").write_text(text)
        self.spawn("ceph-mgr", "a")

    def start_osd(self):
        (self.folder / "osd").mkdir()
        identity, secret = str(uuid.uuid4()), self.tool("ceph-authtool", "--gen-print-key").strip()
        keyring = self.folder / "osd.0.keyring"
        keyring.write_text(f"[osd.0]\n key = {secret}\n")
        self.ceph("osd", "new", identity, "-i", "-", input=json.dumps({"cephx_secret": secret}))
        self.ceph("auth", "caps", "osd.0", "mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *")
        self.tool("ceph-osd", "-c", self.conf, "--mkfs", "-i", "0", "--osd-uuid", identity, "--keyring", keyring)
        self.spawn("ceph-osd", "0")

    def images(self):
        return sorted(json.loads(self.rbd("ls", "--format", "json", "vms/ours")))


def entries(daemon):
    return sorted(path for path in (daemon.state / "pools" / "ceph").rglob("*") if not path.is_dir())


def check_even(daemon, ceph, where):
    """Each entry names an image, and each image is named."""
    assert sorted(path.read_text() for path in entries(daemon)) == ceph.images(), where


def head(daemon, vm):
    row = next(row for row in daemon.json("volume", "ls", "--pool", "ceph") if row.get("vm") == vm and row.get("disk") == "disk1")
    return daemon.state / "pools" / "ceph" / daemon.show(vm)["id"] / row["name"]


def io(daemon, ceph, vm, *commands):
    """On what the disk's image and the headers in it lead to."""
    name = f"rbd:vms/ours/{head(daemon, vm).read_text()}:id=hostler:conf={ceph.conf}"
    said = ceph.tool("qemu-io", "-f", "qcow2", *(word for command in commands for word in ("-c", command)), name)
    assert "failed" not in said, f"{vm}: {said}"


def put(daemon, ceph, vm, pattern):
    io(daemon, ceph, vm, f"write -P {pattern} 1M 2M", f"write -P {pattern} 30M 64k")


def check_holds(daemon, ceph, vm, pattern):
    io(daemon, ceph, vm, f"read -P {pattern} 1M 2M", f"read -P {pattern} 30M 64k", "read -P 0 3M 1M")


def check_pool(daemon, ceph):
    words = ("pool", "create", "ceph", "--type", "rbd", "--conf", ceph.conf, "--user")
    refusal = daemon.refused(1, *words, "hostler", "--source", "none")
    assert "Ceph pool none cannot be used as client.hostler" in refusal, refusal
    daemon.refused(2, *words, "a,b", "--source", "vms")
    daemon.refused(2, *words, "hostler", "--source", "vms/a/b")
    daemon.refused(2, "pool", "create", "ceph", "--type", "rbd", "--conf", "/nonexistent", "--source", "vms")
    daemon.hostler(*words, "hostler", "--source", "vms/ours")
    wait_until(lambda: daemon.json("pool", "show", "ceph").get("size", 0) > 100 * MIB, 60, "Ceph says how much fits in")
    pool = daemon.json("pool", "show", "ceph")
    assert (pool["state"], pool["type"], pool["source"]) == ("ready", "rbd", "vms/ours") and pool["used"] < 20, pool


def check_volumes(daemon, ceph):
    made = daemon.json("volume", "create", "ceph", "data", "--size", "32M")
    assert made["size"] == 32 * MIB and made["allocated"] < 8 * MIB, made
    assert "qcow2 volumes only" in daemon.refused(2, "volume", "create", "ceph", "plain", "--size", "32M", "--format", "raw")
    assert daemon.json("volume", "grow", "ceph", "data", "--size", "400M")["size"] == 400 * MIB
    foreign, out, flat = (daemon.folder / name for name in ("foreign.img", "out.vmdk", "flat.img"))
    foreign.write_bytes(bytes(MIB) + b"hostler!" * 1024 + bytes(3 * MIB - 8192))
    daemon.hostler("volume", "import", "ceph", "in", foreign, "--from", "raw")
    daemon.hostler("volume", "export", "ceph", "in", out, "--format", "vmdk")
    ceph.tool("qemu-img", "convert", "-O", "raw", out, flat)
    assert flat.read_bytes() == foreign.read_bytes()
    check_even(daemon, ceph, "volumes")
    for name in ("in", "data"):
        daemon.hostler("volume", "rm", "ceph", name)
    assert ceph.images() == [] and entries(daemon) == []


def check_snapshots(daemon, ceph):
    daemon.hostler("create", "vm", "memory.size=64M", "disk1.size=64M", "disk1.pool=ceph")
    put(daemon, ceph, "vm", 1)
    daemon.hostler("snapshot", "create", "vm", "one")
    put(daemon, ceph, "vm", 2)
    daemon.hostler("snapshot", "create", "vm", "two")
    put(daemon, ceph, "vm", 3)
    check_even(daemon, ceph, "snapshots")
    daemon.hostler("revert", "vm", "one")
    check_holds(daemon, ceph, "vm", 1)
    daemon.hostler("revert", "vm", "two")
    check_holds(daemon, ceph, "vm", 2)
    daemon.hostler("snapshot", "rm", "vm", "one")
    check_holds(daemon, ceph, "vm", 2)


def check_clones(daemon, ceph):
    daemon.hostler("clone", "vm", "linked", "--linked")
    daemon.hostler("clone", "vm", "full", "--full")
    daemon.hostler("flatten", "linked")
    put(daemon, ceph, "linked", 4)
    daemon.hostler("snapshot", "rm", "vm", "two")
    for name, pattern in (("vm", 2), ("full", 2), ("linked", 4)):
        check_holds(daemon, ceph, name, pattern)
    for name in ("linked", "full"):
        daemon.hostler("rm", "--now", "-y", name)
    check_even(daemon, ceph, "clones are gone")


def check_live(daemon, ceph):
    """With QEMU on it, which runs no system: it opens, overlays, grows, merges and moves."""
    daemon.hostler("start", "vm")
    daemon.hostler("snapshot", "create", "vm", "live", "--disk-only")
    daemon.hostler("set", "vm", "disk1.size=500M")
    daemon.hostler("snapshot", "rm", "vm", "live")
    daemon.hostler("disk", "move", "vm", "disk1", "--pool", "default")
    assert ceph.images() == []
    daemon.hostler("disk", "move", "vm", "disk1", "--pool", "ceph")
    daemon.restart(kill=True)
    daemon.hostler("stop", "--hard", "vm")
    check_holds(daemon, ceph, "vm", 2)
    check_even(daemon, ceph, "live")
    daemon.hostler("disk", "rm", "vm", "disk1", "--keep")
    kept = daemon.json("volume", "ls", "--pool", "ceph")
    assert [row["was"] for row in kept] == ["vm/disk1"] and kept[0]["size"] == 500 * MIB, kept
    daemon.hostler("disk", "add", "vm", "disk1", "--volume", f"ceph/{kept[0]['name']}")
    check_holds(daemon, ceph, "vm", 2)


def check_crashes(daemon, ceph):
    for point in ("create", "place", "@end"):
        daemon.stop()
        daemon.start(environment={"HOSTLER_CRASH_AT": f"volume.create:{point}"})
        daemon.run("volume", "create", "ceph", "v", "--size", "16M")
        daemon.process.wait(60)
        daemon.start()
        check_even(daemon, ceph, point)
        assert len(ceph.images()) == 1 + (point == "@end"), point
    daemon.hostler("volume", "rm", "ceph", "v")


def check_secret(daemon, ceph):
    """The key is in the keyring and nowhere else."""
    key = next(line.split()[-1] for line in (ceph.folder / "client.hostler.keyring").read_text().splitlines() if "key =" in line)
    for path in daemon.folder.rglob("*"):
        with contextlib.suppress(OSError):
            assert not path.is_file() or key.encode() not in path.read_bytes(), path


def check_gone(daemon, ceph):
    ceph.processes[0].send_signal(signal.SIGSTOP)
    assert daemon.json("pool", "show", "ceph", timeout=200)["state"] == "missing"
    refusal = daemon.run("start", "vm", timeout=200)
    assert refusal.returncode == 1 and "disk1 cannot be had" in refusal.stderr and "rbd --conf" in refusal.stderr, refusal
    ceph.processes[0].send_signal(signal.SIGCONT)
    daemon.hostler("rm", "--now", "-y", "vm")
    assert ceph.images() == []
    daemon.hostler("pool", "rm", "ceph")


@limit(900)
def test_in_ceph():
    if not os.environ.get("HOSTLER_TEST_CEPH"):
        skip("it is run when HOSTLER_TEST_CEPH is set")
    with Ceph() as ceph, Daemon(images=()) as daemon:
        for check in (check_pool, check_volumes, check_snapshots, check_clones, check_live, check_crashes, check_secret, check_gone):
            print(check.__name__, flush=True)
            check(daemon, ceph)
