"""Volumes that no VM has: made, grown, imported, exported, deleted; given to a VM and taken back with all that is in them."""
import json
import subprocess

from test_pools import device_of, make_pool, read, volumes, write

MIB = 1 << 20
PATTERN = b"\xa5hostler\x5a" * 1000


def unattached(daemon, pool):
    return {row["name"]: row for row in daemon.json("volume", "ls", "--pool", pool) if not row.get("vm")}


def qemu_img(*arguments):
    return subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def info(path, form):
    return json.loads(qemu_img("info", "-U", "-f", form, "--output=json", path))


def foreign(daemon, name, form, size=4 * MIB):
    """A disk image with PATTERN in it, as another product would leave it."""
    raw, path = daemon.folder / "foreign.img", daemon.folder / name
    raw.write_bytes(bytes(MIB) + PATTERN + bytes(size - MIB - len(PATTERN)))
    qemu_img("convert", "-f", "raw", "-O", form, raw, path)
    return path


def content(path, form, daemon):
    flat = daemon.folder / "flat.img"
    qemu_img("convert", "-f", form, "-O", "raw", path, flat)
    return flat.read_bytes()


def check_made_and_grown(daemon, folder):
    for form in ("qcow2", "raw"):
        made = daemon.json("volume", "create", "fast", f"v-{form}", "--size", "16M", "--format", form)
        assert (made["name"], made["format"], made["size"]) == (f"v-{form}.{form}", form, 16 * MIB)
        path = folder / "volumes" / made["name"]
        assert info(path, form)["virtual-size"] == 16 * MIB and made["allocated"] < MIB
        assert daemon.json("volume", "grow", "fast", f"v-{form}", "--size", "32M")["size"] == 32 * MIB
        assert info(path, form)["virtual-size"] == 32 * MIB
        assert "shrink" in daemon.refused(2, "volume", "grow", "fast", made["name"], "--size", "16M")
        assert "has a volume" in daemon.refused(4, "volume", "create", "fast", f"v-{form}", "--size", "1M")
    daemon.hostler("volume", "create", "default", "v-raw", "--size", "1M")
    assert set(unattached(daemon, "fast")) == {"v-qcow2.qcow2", "v-raw.raw"} and set(unattached(daemon, "default")) == {"v-raw.qcow2"}
    daemon.hostler("volume", "rm", "default", "v-raw")


def check_refused(daemon, folder):
    """Bad input changes nothing."""
    before = sorted(path.name for path in folder.rglob("*"))
    for name in ("../../x", "..", ".hidden.raw", "volumes/v-raw.raw", "v-raw.raw\n"):
        assert daemon.run("volume", "rm", "fast", name).returncode in (2, 3), name
    daemon.refused(3, "volume", "rm", "slow", "v-raw")
    daemon.refused(3, "volume", "create", "slow", "x", "--size", "1M")
    daemon.refused(2, "volume", "create", "fast", "web1-0123abcd-disk0", "--size", "1M")
    daemon.refused(2, "volume", "create", "fast", "x", "--size", "1000001")
    daemon.refused(2, "volume", "create", "fast", "x", "--size", "1M", "--format", "vmdk")
    assert sorted(path.name for path in folder.rglob("*")) == before


def check_imported(daemon, folder):
    for form, said in (("qcow2", []), ("vmdk", []), ("vdi", ["--from", "vdi"]), ("raw", ["--from", "raw", "--format", "raw"])):
        source = foreign(daemon, f"source.{form}", form)
        made = daemon.json("volume", "import", "fast", f"in-{form}", source, *said)
        data = content(folder / "volumes" / made["name"], made["format"], daemon)
        assert made["size"] == 4 * MIB == len(data) and data[MIB:MIB + len(PATTERN)] == PATTERN, made
        assert made["allocated"] < 2 * MIB, "it is sparse"
    odd = daemon.folder / "odd.img"
    odd.write_bytes(b"x" * 1000)
    assert "multiple of 512" in daemon.refused(2, "volume", "import", "fast", "in-odd", odd, "--from", "raw")
    odd.write_bytes(b"x" * 1024)
    made = daemon.json("volume", "import", "fast", "in-odd", odd, "--from", "raw", "--format", "raw")
    assert made["size"] == MIB and content(folder / "volumes" / "in-odd.raw", "raw", daemon).rstrip(b"\0") == b"x" * 1024


def check_hostile(daemon, folder):
    """What would have QEMU open another file, or is not what it is said to be, leaves nothing in the pool."""
    before = sorted(path.name for path in folder.rglob("*"))
    secret = daemon.folder / "secret"
    secret.write_bytes(b"s" * MIB)
    backed, data = daemon.folder / "backed.qcow2", daemon.folder / "data.qcow2"
    qemu_img("create", "-f", "qcow2", "-b", secret, "-F", "raw", backed)
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={daemon.folder}/outside.raw", data, "1M")
    (daemon.folder / "descriptor.vmdk").write_text(f'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 2048 FLAT "{secret}" 0\n')
    for source in (backed, data, daemon.folder / "descriptor.vmdk", secret):
        assert daemon.run("volume", "import", "fast", "bad", source).returncode == 2, source
    assert "no such" in daemon.refused(3, "volume", "import", "fast", "bad", "/nonexistent").lower()
    assert sorted(path.name for path in folder.rglob("*")) == before


def check_exported(daemon, folder):
    for form in ("qcow2", "raw", "vmdk", "vhdx", "vdi"):
        target = daemon.folder / f"out.{form}"
        daemon.hostler("volume", "export", "fast", "in-vmdk", target, "--format", form)
        assert content(target, form, daemon)[MIB:MIB + len(PATTERN)] == PATTERN, form
        assert "there already" in daemon.refused(4, "volume", "export", "fast", "in-vmdk", target, "--format", form)
    daemon.refused(2, "volume", "export", "fast", "in-vmdk", daemon.folder / "no" / "such")
    assert not list(daemon.folder.glob("*.hostler-partial"))


def test_made_imported_exported():
    from harness import Daemon
    with Daemon(images=()) as daemon:
        folder = make_pool(daemon, "fast")
        check_made_and_grown(daemon, folder)
        check_refused(daemon, folder)
        check_imported(daemon, folder)
        check_hostile(daemon, folder)
        check_exported(daemon, folder)
        daemon.restart()
        for name in unattached(daemon, "fast"):
            daemon.hostler("volume", "rm", "fast", name)
        daemon.refused(3, "volume", "rm", "fast", "in-vmdk")
        assert not list((folder / "volumes").iterdir())
        daemon.hostler("pool", "rm", "fast")


# ---- with guests ----


def check_kept(daemon, was):
    """The one unattached volume of the pool, which belonged to @was."""
    rows = unattached(daemon, "fast")
    assert len(rows) == 1 and [row["was"] for row in rows.values()] == [was], rows
    return next(iter(rows))


def check_moves_between_vms(daemon, folder):
    """A disk is taken from one running guest, with what it has under snapshots, and given to another."""
    daemon.hostler("disk", "add", "one", "data", "--size", "16M", "--pool", "fast")
    write(daemon, "one", "data", "under the snapshot")
    daemon.hostler("snapshot", "create", "one", "before", "--disk-only")
    daemon.hostler("disk", "rm", "one", "data", "--keep")
    name = check_kept(daemon, "one/data")
    assert "made of one called so" in daemon.refused(3, "volume", "rm", "fast", "data.qcow2")
    daemon.hostler("volume", "grow", "fast", name, "--size", "32M")
    added = daemon.json("disk", "add", "two", "--volume", f"fast/{name}")
    assert added["size"] == 32 * MIB and added["state"] == "attached" and unattached(daemon, "fast") == {}
    assert read(daemon, "two", added["name"]) == "under the snapshot"
    write(daemon, "two", added["name"], "by two")
    daemon.hostler("revert", "one", "before")
    daemon.hostler("start", "one", "--wait", "agent")
    assert read(daemon, "one", "data") == "under the snapshot", "the snapshot has its own"
    daemon.hostler("snapshot", "rm", "one", "before")
    assert read(daemon, "two", added["name"]) == "by two"


def check_image_disk_is_whole(daemon):
    """A disk that stood on an image is a volume of its own when it is kept, and starts another VM."""
    daemon.guest("two", "sh", "-c", "echo kept > /root/note; sync")
    daemon.hostler("rm", "-y", "--keep-disks", "two")
    name = next(name for name, row in unattached(daemon, "default").items() if row["was"] == "two/disk0")
    path = daemon.state / "volumes" / name
    assert "backing-filename" not in info(path, "qcow2")
    first = subprocess.run(["qemu-img", "compare", "-U", "-f", "qcow2", "-F", "qcow2", path, daemon.state / "images" / "tiny" / "disk.qcow2"],
                           capture_output=True, text=True)
    assert first.returncode == 1 and "mismatch" in first.stdout, "it has the image's bytes and the guest's"
    return name


def test_given_and_taken(daemon):
    folder = make_pool(daemon, "fast")
    daemon.create("one")
    daemon.create("two")
    for arguments in (["--volume", "fast/none"], ["--volume", "none"], ["--volume", "fast/x", "--size", "1M"], ["--volume", "fast/x", "--pool", "fast"]):
        assert daemon.run("disk", "add", "one", *arguments).returncode in (2, 3), arguments
    check_moves_between_vms(daemon, folder)
    check_image_disk_is_whole(daemon)
    assert check_kept(daemon, "two/disk1").endswith(".qcow2")


def qcow2_header(daemon):
    """Of an image that stands on a file of the host: what a hostile guest writes to be shown it."""
    secret, path = daemon.folder / "secret", daemon.folder / "trap.qcow2"
    secret.write_bytes(b"SECRET" * 4096)
    qemu_img("create", "-f", "qcow2", "-b", secret, "-F", "raw", path, "16M")
    return path


def check_raw_stays_raw(daemon, vm, disk, trap):
    """The guest finds what it has written, in all places where a header could have been believed."""
    device = device_of(daemon, vm, disk)
    size = trap.stat().st_size
    daemon.hostler("cp", trap, f"{vm}:/tmp/trap")
    daemon.guest(vm, "sh", "-c", f"dd if=/tmp/trap of={device} bs=64k conv=fsync 2>/dev/null")
    same = lambda name: daemon.guest(name, "sh", "-c", f"head -c {size} {device_of(daemon, name, disk)} | cmp - /tmp/trap && echo same") == "same"
    daemon.hostler("stop", "--hard", vm)
    daemon.hostler("start", vm, "--wait", "agent")
    daemon.hostler("cp", trap, f"{vm}:/tmp/trap")
    assert same(vm)
    daemon.hostler("snapshot", "create", vm, "s")
    write(daemon, vm, disk, "after")
    daemon.hostler("revert", vm, "s")
    assert same(vm)
    daemon.hostler("set", vm, f"{disk}.size=32M")
    assert daemon.guest(vm, "sh", "-c", f"blockdev --getsize64 {device_of(daemon, vm, disk)}") == str(32 * MIB)
    daemon.hostler("clone", vm, "full", "--full")
    daemon.hostler("clone", vm, "linked", "--linked")
    full = daemon.folder / "fast" / daemon.show("full")["id"] / f"{disk}.raw"
    assert full.stat().st_size == 32 * MIB and full.read_bytes()[:size] == trap.read_bytes()
    daemon.hostler("start", "linked", "--wait", "agent")
    daemon.hostler("cp", trap, "linked:/tmp/trap")
    assert same("linked")
    for name in ("full", "linked"):
        daemon.hostler("rm", "--now", "-y", name)
    daemon.hostler("snapshot", "rm", vm, "s")
    assert same(vm)


def test_raw_stays_raw(daemon):
    folder = make_pool(daemon, "fast")
    trap = qcow2_header(daemon)
    assert "image" in daemon.refused(2, "create", "no", "--image", "tiny", "disk0.format=raw")
    daemon.create("vm", "disk1.size=16M", "disk1.format=raw", "memory.size=256M")
    assert "cannot be changed" in daemon.refused(2, "set", "vm", "disk1.format=qcow2")
    daemon.hostler("disk", "add", "vm", "data", "--size", "16M", "--pool", "fast", "--format", "raw")
    assert (folder / daemon.show("vm")["id"] / "data.raw").stat().st_size == 16 * MIB
    assert ("data.raw", "vm", "data") in volumes(daemon, "fast")
    check_raw_stays_raw(daemon, "vm", "data", trap)
    daemon.hostler("disk", "rm", "vm", "data", "--keep")
    name = check_kept(daemon, "vm/data")
    daemon.hostler("volume", "export", "fast", name, daemon.folder / "out.raw", "--format", "raw")
    assert (daemon.folder / "out.raw").read_bytes()[:trap.stat().st_size] == trap.read_bytes()
    assert not list((folder / daemon.show("vm")["id"]).iterdir()), "nothing is left of it"
