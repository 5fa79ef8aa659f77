"""Disks of every model, the adapters they sit on, drives and their media: seen, written and read in the guest, and from the other side."""
import contextlib
import os
import pathlib
import re
import subprocess
import tempfile

from harness import FOLDER, Daemon, limit, wait_until

MIB = 1 << 20


# ---- looking ----

def device(daemon, name):
    return next((row for row in daemon.json("device", "ls", "vm") if row["name"] == name), None)


def in_guest(daemon, *names):
    """/dev/NAME of each disk or drive, once the guest has them all."""
    def found():
        rows = {row["name"]: row.get("guest") or "" for row in daemon.json("device", "ls", "vm")}
        return all(rows[name].startswith("/dev/") for name in names) and [rows[name].split()[0] for name in names]
    paths = wait_until(found, 60, f"the guest knows {names}", every=1)
    return paths if len(names) > 1 else paths[0]


def shell(daemon, script):
    return daemon.guest("vm", "sh", "-c", script)


def file_of(daemon, disk):
    return next(daemon.state.glob(f"vms/*/{disk}.qcow2"))


def host_bytes(path):
    """What is on a qcow2 disk, while the VM runs."""
    with tempfile.NamedTemporaryFile(dir=FOLDER) as raw:
        subprocess.run(["qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", path, raw.name], check=True)
        return pathlib.Path(raw.name).read_bytes()


def medium(daemon, name, text, size):
    path = daemon.folder / name
    path.write_bytes(text.encode().ljust(size, b"."))
    return path


def try_out(daemon, disk, path):
    """Writes in the guest, reads back there and on the host."""
    words = f"written on {disk}"
    shell(daemon, f"echo {words} > /tmp/w && dd if=/tmp/w of={path} bs=4096 conv=sync,fsync 2>/dev/null")
    assert shell(daemon, f"dd if={path} bs=4096 count=1 iflag=direct 2>/dev/null | head -n 1") == words
    assert host_bytes(file_of(daemon, disk)).startswith(words.encode()), disk


def change(daemon, *assignments):
    return {row["property"]: row for row in daemon.json("set", "vm", *assignments)}


# ---- cold ----

COLD = {
    # part: (size in MiB, properties)
    "disk1": (9, "model=ide rotation=1"),
    "disk2": (10, "model=scsi logical_block=4096"),
    "disk3": (11, "model=nvme cmb=16M queues=2"),
    "disk4": (12, "model=usb serial=stick-4 rotation=7200"),
    "disk5": (13, "model=scsi controller=scsi1"),
    "disk6": (14, "model=ide controller=ide1"),
    "disk7": (15, "queue_size=64 queues=2 physical_block=4096"),
}
ADAPTERS = ["scsi0.kind=scsi", "scsi0.queue_size=64", "scsi0.memory=8M", "scsi1.model=dc390", "ide0.kind=ide", "ide1.model=piix3-ide",
            "usb0.kind=usb", "cdrom0.model=ide", "cdrom1.model=ide", "cdrom1.controller=ide1", "cpu.count=2"]


def cold_words():
    words = list(ADAPTERS)
    for name, (size, properties) in COLD.items():
        words += [f"{name}.size={size}M"] + [f"{name}.{word}" for word in properties.split()]
    return words


def check_queues(daemon):
    """Numbers that were asked for, as the guest's drivers have them."""
    target, fast, still, turning = (path.removeprefix("/dev/") for path in in_guest(daemon, "disk2", "disk7", "disk1", "disk4"))
    assert shell(daemon, f"cat /sys/block/{still}/queue/rotational /sys/block/{turning}/queue/rotational").split() == ["0", "1"]
    assert shell(daemon, "cat /sys/bus/usb/devices/*/serial").split().count("stick-4") == 1
    assert shell(daemon, f"cat /sys/block/{fast}/serial") == "disk7"
    assert shell(daemon, f"cat $(readlink -f /sys/block/{target}/device)/../../scsi_host/host*/can_queue") == "64"
    # The largest request is the adapter's memory, shared out: 8 MiB over 64 requests.
    assert shell(daemon, f"cat /sys/block/{target}/queue/max_hw_sectors_kb") == "128"
    assert shell(daemon, f"cat /sys/block/{target}/queue/logical_block_size") == "4096"
    assert shell(daemon, f"cat /sys/block/{fast}/mq/0/nr_tags") == "64"
    assert shell(daemon, f"ls /sys/block/{fast}/mq").split() == ["0", "1"]
    assert shell(daemon, f"cat /sys/block/{fast}/queue/physical_block_size") == "4096"
    bars = shell(daemon, "lspci -v -d ::0108 2>/dev/null")
    assert "prefetchable) [size=16M]" in bars, bars


def check_floppy(daemon):
    """The medium is changed under the running guest, for one of another format, written, and taken out."""
    assert shell(daemon, "dd if=/dev/fd0 bs=9 count=1 2>/dev/null") == "floppy 1."
    second = medium(daemon, "2.img", "floppy 2", 720 << 10)
    rows = {row["property"]: row for row in daemon.json("device", "insert", "vm", "floppy0", second)}
    assert rows["floppy0.medium"]["state"] == "applied" and rows["floppy0.medium"]["guest"] == "720k", rows
    assert shell(daemon, "dd if=/dev/fd0 bs=9 count=1 2>/dev/null") == "floppy 2."
    shell(daemon, "echo from the guest > /tmp/w; dd if=/tmp/w of=/dev/fd0 bs=512 conv=sync,fsync 2>/dev/null")
    wait_until(lambda: second.read_bytes().startswith(b"from the guest\n"), 20)
    assert len(second.read_bytes()) == 720 << 10
    assert "720" in daemon.refused(2, "device", "insert", "vm", "floppy0", medium(daemon, "odd.img", "odd", 1000 << 10))
    tables = daemon.folder / "tables.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", daemon.folder / "1.img", tables], check=True)
    assert "raw one" in daemon.refused(2, "set", "vm", "floppy0.memory=1M")
    daemon.hostler("device", "insert", "vm", "floppy0", tables, "--format", "qcow2")
    assert shell(daemon, "dd if=/dev/fd0 bs=9 count=1 2>/dev/null") == "floppy 1."
    assert change(daemon, "floppy0.memory=1M")["floppy0.memory"]["device"] == "128k", "more tables than it has"
    daemon.hostler("device", "insert", "vm", "floppy0", second)
    daemon.hostler("set", "vm", "floppy0.readonly=on")
    assert daemon.run("exec", "vm", "--", "sh", "-c", "dd if=/tmp/w of=/dev/fd0 bs=512 conv=sync,fsync").returncode != 0
    daemon.hostler("device", "eject", "vm", "floppy0")
    assert daemon.run("exec", "vm", "--", "dd", "if=/dev/fd0", "of=/dev/null", "count=1").returncode != 0


@limit(400)
def test_all_models_from_the_start():
    with Daemon(images=["tiny-full"]) as daemon:
        first = medium(daemon, "1.img", "floppy 1", 1440 << 10)
        disc = medium(daemon, "a.iso", "disc a", 3 * MIB)
        daemon.create("vm", "memory.size=384M", *cold_words(), f"cdrom0.medium={disc}", f"floppy0.medium={first}", "floppy1.model=288",
                      image="tiny-full")
        for name, path in zip(COLD, in_guest(daemon, *COLD)):
            try_out(daemon, name, path)
            assert shell(daemon, f"cat /sys/block/{path[5:]}/size") == str(COLD[name][0] * 2048), name
        check_queues(daemon)
        full, empty = in_guest(daemon, "cdrom0", "cdrom1")
        assert shell(daemon, f"dd if={full} bs=6 count=1 2>/dev/null") == "disc a"
        assert "No medium" in daemon.run("exec", "vm", "--", "dd", f"if={empty}", "of=/dev/null", "count=1").stderr
        check_floppy(daemon)
        check_waiting(daemon)
        check_all_saved(daemon)


# ---- what the firmware starts ----

# Writes what stands behind it to the first serial port, whenever that is ready: xor ax, ax; mov ds, ax; mov si, 0x7c21;
# next: lodsb; test al, al; jz end; mov ah, al; mov dx, 0x3fd; wait: in al, dx; test al, 0x20; jz wait; mov al, ah; mov dx, 0x3f8; out dx, al; jmp next;
# end: hlt; jmp end
SAY = bytes.fromhex("31c0 8ed8 be217c ac 84c0 7412 88c4 bafd03 ec a820 74fb 88e0 baf803 ee ebe9 f4 ebfd")


def boot_sector(text):
    return (SAY + f"starts {text}\n\0".encode()).ljust(510, b"\0") + b"\x55\xaa"


def started_by(daemon):
    """What the firmware has started, by its own words on the console."""
    log = next(daemon.state.glob("vms/*")) / "console.log"
    done = len(log.read_bytes()) if log.exists() else 0
    daemon.hostler("start", "vm")
    try:
        said = wait_until(lambda: log.exists() and re.search(rb"starts (\w+)", log.read_bytes()[done:]), 60, "something is started")
    finally:
        daemon.hostler("stop", "--hard", "vm")
    return said[1].decode()


def test_the_firmware_starts_what_comes_first():
    with Daemon(images=[]) as daemon:
        for name in ("one", "two"):
            file = medium(daemon, f"{name}.raw", "", MIB)
            file.write_bytes(boot_sector(name).ljust(MIB, b"\0"))
            daemon.hostler("image", "import", name, file, "--format", "raw")
        floppy = medium(daemon, "floppy.img", "", 1440 << 10)
        floppy.write_bytes(boot_sector("floppy").ljust(1440 << 10, b"\0"))
        daemon.hostler("create", "vm", "--image", "one", "disk1.image=two", "disk1.size=1M", "memory.size=64M", f"floppy0.medium={floppy}", "scsi0.kind=scsi",
                       "ide0.kind=ide", "usb0.kind=usb")
        assert started_by(daemon) == "one"
        daemon.hostler("set", "vm", "disk1.boot=1")
        assert started_by(daemon) == "two"
        assert "disk1 has this place" in daemon.refused(2, "set", "vm", "floppy0.boot=1")
        daemon.hostler("set", "vm", "disk1.boot=2", "floppy0.boot=1")
        assert started_by(daemon) == "floppy"
        daemon.hostler("device", "eject", "vm", "floppy0")
        assert started_by(daemon) == "two", "a drive without a medium is passed over"
        for model in ("scsi", "ide", "nvme", "usb"):
            daemon.hostler("set", "vm", f"disk1.model={model}")
            assert started_by(daemon) == "two", model


def check_waiting(daemon):
    """What cannot change in a running VM says so, and is there after the next start."""
    daemon.hostler("disk", "add", "vm", "late", "--size", "1T", "--model", "ide")
    assert device(daemon, "late")["state"] == "pending"
    assert change(daemon, "disk7.model=scsi", "disk7.queue_size=", "disk7.queues=")["disk7.model"]["state"] == "pending"
    assert "stop vm" in daemon.refused(4, "disk", "rm", "vm", "disk1")
    assert file_of(daemon, "disk1").exists()
    assert "sits on ide0" in daemon.refused(4, "device", "rm", "vm", "ide0")
    daemon.hostler("stop", "vm")
    daemon.hostler("disk", "rm", "vm", "disk1")
    daemon.hostler("disk", "rm", "vm", "disk3")
    # Linux' driver of the one does not get along with an interrupt that it shares with the other as it starts.
    daemon.hostler("set", "vm", "scsi1.model=mptsas1068")
    daemon.hostler("start", "vm", "--wait", "agent")
    late, moved, sas = in_guest(daemon, "late", "disk7", "disk5")
    assert shell(daemon, f"head -n 1 {sas}") == "written on disk5"
    assert shell(daemon, f"cat /sys/block/{late[5:]}/size") == str(2048 << 20)
    assert moved.startswith("/dev/sd") and shell(daemon, f"head -n 1 {moved}") == "written on disk7"
    check_memory_of_ide(daemon)


def check_memory_of_ide(daemon):
    """The tables of the large disk on the controller take the room that its memory gives them."""
    assert change(daemon, "ide0.memory=1M")["ide0.memory"]["device"] == "1M"
    before = virtual_kib(daemon)
    row = change(daemon, "ide0.memory=1G")["ide0.memory"]
    assert row["state"] == "applied" and virtual_kib(daemon) - before > 100 << 10, row
    change(daemon, "ide0.memory=")


def check_all_saved(daemon):
    """But for NVMe, which is refused, every model comes back from disk, with what is on it."""
    daemon.hostler("suspend", "vm")
    daemon.hostler("resume", "vm", "--wait", "agent")
    names = [name for name in COLD if name not in ("disk1", "disk3")]
    for name, path in zip(names, in_guest(daemon, *names)):
        assert shell(daemon, f"dd if={path} bs=4096 count=1 iflag=direct 2>/dev/null | head -n 1") == f"written on {name}"


# ---- live ----

LIVE = {
    "live1": "model=scsi",
    "live2": "model=scsi controller=vmware",
    "live3": "model=scsi controller=raid",
    "live4": "model=scsi controller=raid2",
    "live5": "model=scsi controller=symbios",
    "live6": "model=scsi controller=amd",
    "live9": "model=scsi controller=old",
    "live7": "model=nvme",
    "live8": "model=usb",
}
LIVE_ADAPTERS = {"vmware": "pvscsi", "raid": "megasas", "raid2": "megasas-gen2", "symbios": "lsi53c895a", "old": "lsi53c810", "amd": "am53c974"}


def check_come(daemon):
    for name, properties in LIVE.items():
        added = daemon.json("device", "add", "vm", "disk", name, "size=8M", *properties.split())
        assert {row["state"] for row in added} == {"attached"}, added
        if name == "live1":
            for adapter, model in LIVE_ADAPTERS.items():
                daemon.hostler("device", "add", "vm", "scsi", adapter, "--model", model)
    assert {row["name"] for row in daemon.json("device", "ls", "vm")} >= {"scsi0", "usb0"}, "their controllers came along"
    for name, path in zip(LIVE, in_guest(daemon, *LIVE)):
        try_out(daemon, name, path)
    sas = daemon.json("device", "add", "vm", "scsi", "sas", "--model", "mptsas1068")
    assert sas[0]["state"] == "attached"
    assert daemon.json("device", "add", "vm", "disk", "late", "size=8M", "model=scsi", "controller=sas")[0]["state"] == "pending"


def check_use(daemon):
    """A disk in use stays; what the guest has written to it is on it when it goes all the same."""
    path = in_guest(daemon, "live3")
    shell(daemon, f"mke2fs -q {path} && mount {path} /mnt && echo kept > /mnt/note")
    for verb in ("disk", "device"):
        message = daemon.refused(4, verb, "rm", "vm", "live3")
        assert "mounted on /mnt" in message and "--force" in message, message
    assert "mounted on /" in daemon.refused(4, "disk", "rm", "vm", "disk0")
    assert shell(daemon, "cat /mnt/note") == "kept" and device(daemon, "live3")["state"] == "attached"
    daemon.hostler("device", "rm", "vm", "live3", "--force")
    assert b"kept" in host_bytes(file_of(daemon, "live3"))
    shell(daemon, "umount -l /mnt")


def check_go(daemon):
    for name in ["late", *(name for name in LIVE if name != "live3")]:
        daemon.hostler("disk", "rm", "vm", name)
    for name in [*LIVE_ADAPTERS, "sas", "scsi0", "usb0"]:
        daemon.hostler("device", "rm", "vm", name)
    wait_until(lambda: set(shell(daemon, "ls /sys/block").split()) - {"vda"} == set(), 30)
    assert not {row["kind"] for row in daemon.json("device", "ls", "vm")} & {"scsi", "usb"}
    assert shell(daemon, "lspci -d ::0100 2>/dev/null | wc -l") == "1", "only disk0 is left"


# ---- properties ----

def seconds_to_read(daemon, path, megabytes):
    words = shell(daemon, f"a=$(cut -d' ' -f1 /proc/uptime); dd if={path} of=/dev/null bs=64k count={megabytes * 16} iflag=direct 2>/dev/null;"
                          " echo $a $(cut -d' ' -f1 /proc/uptime)").split()
    return float(words[1]) - float(words[0])


def virtual_kib(daemon):
    status = pathlib.Path(f"/proc/{daemon.show('vm')['status']['pid']}/status").read_text()
    return int(re.search(r"VmSize:\s+(\d+)", status)[1])


def check_limits(daemon):
    daemon.hostler("disk", "add", "vm", "big", "--size", "1T")
    path = in_guest(daemon, "big")
    rows = change(daemon, "big.bandwidth=1M", "big.iops_write=100")
    assert rows["big.bandwidth"]["device"] == "1M" and rows["big.iops_write"]["device"] == "100", rows
    # QEMU lets a tenth of a second through at once.
    assert seconds_to_read(daemon, path, 4) > 2.5
    assert "apart" in daemon.refused(2, "set", "vm", "big.bandwidth_read=1M")
    rows = change(daemon, "big.bandwidth=", "big.iops_write=")
    assert rows["big.bandwidth"]["device"] == rows["big.iops_write"]["device"] == "no limit", rows
    return path


def check_memory(daemon):
    """Tables for the whole of a large disk take room in QEMU; more than there are, it does not keep."""
    small = change(daemon, "big.memory=1M")["big.memory"]
    assert small["state"] == "applied" and small["device"] == "1M", small
    before = virtual_kib(daemon)
    large = change(daemon, "big.memory=1G")["big.memory"]
    assert large["device"] == "128M" and "less" in large["detail"], large
    assert virtual_kib(daemon) - before > 100 << 10
    change(daemon, "big.memory=1M")


def check_cache(daemon, path):
    for word in ("none", "unsafe", "writeback"):
        row = change(daemon, f"big.cache={word}")["big.cache"]
        assert row["state"] == "applied" and row["device"] == word, row
        flags = [open_flags(daemon, "big.qcow2") & os.O_DIRECT != 0, word]
        assert flags == [word == "none", word]
        shell(daemon, f"echo {word} > /tmp/w; dd if=/tmp/w of={path} bs=4096 conv=sync,fsync 2>/dev/null")
        assert shell(daemon, f"dd if={path} bs=4096 count=1 iflag=direct 2>/dev/null | head -n 1") == word
    assert change(daemon, "big.cache=writethrough")["big.cache"]["state"] == "pending"
    change(daemon, "big.cache=writeback")


def open_flags(daemon, name):
    """Flags of the descriptor with which QEMU has a file open."""
    pid = daemon.show("vm")["status"]["pid"]
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(link).endswith(f"/{name}"):
                return int(re.search(r"flags:\s+(\d+)", pathlib.Path(f"/proc/{pid}/fdinfo/{link.name}").read_text())[1], 8)
    raise AssertionError(f"QEMU does not have {name} open")


def check_discard(daemon, path):
    """Blocks that the guest gives back are given back to the host, or kept; zeros are noted, or written."""
    def allocated():
        return next(disk["allocated"] for disk in daemon.json("disk", "ls", "vm") if disk["name"] == "big")
    fill = f"dd if=/dev/urandom of={path} bs=1M count=16 conv=fsync 2>/dev/null"
    shell(daemon, fill)
    full = allocated()
    assert change(daemon, "big.discard=ignore")["big.discard"]["device"] == "ignore"
    shell(daemon, f"blkdiscard {path} -o 0 -l 16777216")
    assert allocated() >= full
    assert change(daemon, "big.discard=unmap", "big.detect_zeroes=unmap")["big.detect_zeroes"]["device"] == "unmap"
    shell(daemon, f"{fill}; dd if=/dev/zero of={path} bs=1M count=16 oflag=direct conv=fsync 2>/dev/null")
    wait_until(lambda: allocated() < full - 8 * MIB, 20)
    shell(daemon, f"{fill}; blkdiscard {path} -o 0 -l 16777216; sync")
    wait_until(lambda: allocated() < full - 8 * MIB, 20)


# ---- media ----

def contents(daemon, drive, length):
    return shell(daemon, f"dd if={drive} bs={length} count=1 2>/dev/null")


def check_drive(daemon, name, path, discs):
    """Media come, go and change; one that the guest holds on to stays until it lets go, or is taken."""
    first, second = discs
    daemon.hostler("device", "insert", "vm", name, first)
    wait_until(lambda: contents(daemon, path, 6) == "disc 1", 20, f"{name} has its medium")
    daemon.hostler("set", "vm", f"{name}.medium={second}")
    wait_until(lambda: contents(daemon, path, 6) == "disc 2", 20, f"{name} has another medium")
    shell(daemon, f"sleep 1000 < {path} > /dev/null 2>&1 & echo $! > /tmp/holder")
    message = daemon.refused(4, "device", "eject", "vm", name, "--timeout", "1s")
    assert "locked the tray" in message and "--force" in message, message
    assert contents(daemon, path, 6) == "disc 2" and daemon.show("vm")["spec"][name]["medium"] == str(second)
    message = daemon.refused(4, "device", "insert", "vm", name, first, "--timeout", "1s")
    assert "locked the tray" in message and daemon.show("vm")["spec"][name]["medium"] == str(second)
    shell(daemon, "kill $(cat /tmp/holder)")
    daemon.hostler("device", "eject", "vm", name)
    assert "No medium" in daemon.run("exec", "vm", "--", "dd", f"if={path}", "of=/dev/null", "count=1").stderr
    assert "medium" not in daemon.show("vm")["spec"][name]
    daemon.hostler("device", "insert", "vm", name, first)
    shell(daemon, f"sleep 1000 < {path} > /dev/null 2>&1 & echo $! > /tmp/holder")
    daemon.hostler("device", "eject", "vm", name, "--force")
    assert "No medium" in daemon.run("exec", "vm", "--", "dd", f"if={path}", "of=/dev/null", "count=1").stderr
    shell(daemon, "kill $(cat /tmp/holder)")


def check_bad_media(daemon, disc, disk):
    """What cannot be in a drive is refused in a sentence, and what is in there stays."""
    daemon.hostler("device", "insert", "vm", "cd", disc)
    path = in_guest(daemon, "cd")
    fifo, empty, torn = daemon.folder / "fifo", daemon.folder / "empty", daemon.folder / "torn.qcow2"
    os.mkfifo(fifo)
    empty.touch()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disc, "-F", "raw", torn], check=True)
    for file, format, words in ((daemon.folder / "none", "raw", "cannot open"), (fifo, "raw", "neither a file"), (daemon.folder, "raw", "neither a file"),
                                (empty, "raw", "is empty"), ("/dev/null", "raw", "neither a file"), (torn, "qcow2", "backing"), (disc, "qcow2", "qcow2")):
        message = daemon.refused(2, "device", "insert", "vm", "cd", file, "--format", format)
        assert words in message and len(message.splitlines()) < 4, message
    message = daemon.refused(4, "device", "insert", "vm", "cd", disk)
    assert "another VM" in message, message
    assert contents(daemon, path, 6) == "disc 1" and daemon.show("vm")["spec"]["cd"]["medium"] == str(disc)
    # Raw is raw, whatever the bytes look like: the guest sees the header of a qcow2 file, not the disk in it.
    daemon.hostler("device", "insert", "vm", "cd", torn)
    assert contents(daemon, path, 3) == "QFI"
    whole = daemon.folder / "whole.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", disc, whole], check=True)
    rows = {row["property"]: row for row in daemon.json("device", "insert", "vm", "cd", whole, "--format", "qcow2")}
    assert rows["cd.medium"]["state"] == rows["cd.format"]["state"] == "applied", rows
    wait_until(lambda: contents(daemon, path, 6) == "disc 1", 20)
    assert change(daemon, "cd.memory=1M")["cd.memory"]["device"] == "128k"
    assert "raw one" in daemon.refused(2, "set", "vm", "cd.format=raw", f"cd.medium={disc}")
    assert "no drive" in daemon.refused(2, "device", "insert", "vm", "disk0", disc)


def check_media(daemon):
    discs = [medium(daemon, f"disc{number}.iso", f"disc {number}", 2 * MIB) for number in (1, 2)]
    daemon.hostler("device", "add", "vm", "cdrom", "cd")
    daemon.hostler("device", "add", "vm", "cdrom", "stick", "--model", "usb")
    for name, path in zip(("cd", "stick"), in_guest(daemon, "cd", "stick")):
        check_drive(daemon, name, path, discs)
    check_bad_media(daemon, discs[0], file_of(daemon, "big"))
    return discs


# ---- to disk and back ----

def check_saved(daemon, discs):
    """Limits, media and adapters are as they were when the VM comes back from disk."""
    daemon.hostler("device", "insert", "vm", "cd", discs[1])
    daemon.hostler("set", "vm", "big.bandwidth=1M")
    before = {row["name"]: row.get("place") for row in daemon.json("device", "ls", "vm")}
    daemon.hostler("device", "add", "vm", "disk", "fast", "size=8M", "model=nvme")
    assert "NVMe" in daemon.refused(1, "suspend", "vm")
    daemon.hostler("disk", "rm", "vm", "fast")
    daemon.hostler("suspend", "vm")
    daemon.hostler("resume", "vm", "--wait", "agent")
    path, drive = in_guest(daemon, "big", "cd")
    assert {row["name"]: row.get("place") for row in daemon.json("device", "ls", "vm")} == before
    assert contents(daemon, drive, 6) == "disc 2"
    assert seconds_to_read(daemon, path, 4) > 2.5


@limit(500)
def test_disks_and_drives_come_change_and_go_live():
    with Daemon(images=["tiny-full"]) as daemon:
        daemon.create("vm", "memory.size=384M", image="tiny-full")
        check_come(daemon)
        check_use(daemon)
        check_go(daemon)
        path = check_limits(daemon)
        check_memory(daemon)
        check_cache(daemon, path)
        check_discard(daemon, path)
        check_saved(daemon, check_media(daemon))
