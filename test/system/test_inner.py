"""What takes a kernel of its own, in a host in a guest: control groups of version 2 with all controllers, who may make them, and what they do to
QEMUs that compute under KVM; disks on a real NFS share; the kernel's datapath of switches."""
import os
import pathlib
import subprocess
import time

import harness
import inner_nfs
from harness import Daemon, limit, wait_until
from inner import Host, report
from test_allocation import bound_all, explain, group_of

ROOT_GROUP = pathlib.Path("/sys/fs/cgroup")
SWITCH_TEST = harness.ROOT / "build" / "test" / "switch" / "test-switch"
KERNEL_SWITCH = ("plain", "vlans", "forged", "promiscuous-scopes", "mac-learned", "statistics-go-on", "mirror-directions", "capture-lost", "offloads")
UNIT_TEST = harness.ROOT / "build" / "test" / "unit" / "test-cgroup-group"
LOOP = b"\xeb\xfe" + bytes(508) + b"\x55\xaa"  # a boot sector that jumps to itself
NOBODY = 65534


def daemon_answers():
    """A daemon on /data, of the same build as outside."""
    with Daemon(images=()) as daemon:
        daemon.hostler("create", "here", "memory.size=64M")
        assert [vm["name"] for vm in daemon.json("ls")] == ["here"]
        report({"folder": str(daemon.folder)})
        return {"version": daemon.hostler("version"), "kernel": os.uname().release}


def check_host(host):
    done = host.run("sh", "-c", "echo out; echo err >&2; cat; exit 3", input="in")
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\nin", "err\n")
    assert {"cpu", "memory", "io"} <= set(host.output("cat", "/sys/fs/cgroup/cgroup.controllers").split())
    answers = host.call(daemon_answers)
    assert answers["kernel"] != os.uname().release and answers["version"].startswith("hostler ")
    assert host.reported()[0]["folder"].startswith("/data/")


def busy_vm(daemon, name, *words, memory="64M"):
    """A VM whose firmware starts an endless loop. Its pid."""
    daemon.hostler("create", name, f"memory.size={memory}", "disk0.size=1M", *words)
    sector = daemon.folder / "sector"
    sector.write_bytes(LOOP)
    disk = daemon.state / "vms" / daemon.show(name)["id"] / "disk0.qcow2"
    subprocess.run(["qemu-io", "-f", "qcow2", disk, "-c", f"write -s {sector} 0 512"], check=True, capture_output=True)
    daemon.hostler("start", name)
    return daemon.show(name)["status"]["pid"]


def used_s(group):
    return int((group / "cpu.stat").read_text().split()[1]) / 1e6


def measure(groups, seconds=8):
    """Processors that each had, as the kernel counts for its groups."""
    before, began = [used_s(group) for group in groups], time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    return [(used_s(group) - start) / passed for group, start in zip(groups, before)]


def ceiling_of(daemon, name):
    return explain(daemon, name).get("ceiling", 0)


def shares_reservation_limit():
    with Daemon(images=(), environment={"HOSTLER_ACCEL": "kvm"}) as daemon:
        pids = [busy_vm(daemon, name) for name in ("one", "two")]
        wait_until(lambda: all(group_of(pid).parent.name.startswith("hostler-") for pid in pids))
        groups = [group_of(pid) for pid in pids]
        parent = groups[0].parent
        assert parent == groups[1].parent and parent.parent == ROOT_GROUP
        bound_all(parent, 0.8)

        daemon.hostler("set", "one", "cpu.shares=high")
        wait_until(lambda: abs(ceiling_of(daemon, "one") - 0.533) < 0.02 and abs(ceiling_of(daemon, "two") - 0.267) < 0.02)
        assert [(group / "cpu.weight").read_text() for group in groups] == ["200\n", "100\n"]
        one, two = measure(groups)
        assert 1.6 < one / two < 2.4, f"shares 2:1 gave {one:.3f} and {two:.3f} processors"

        daemon.hostler("set", "two", "cpu.reservation=60")
        wait_until(lambda: abs(ceiling_of(daemon, "two") - 0.6) < 0.06)
        one, two = measure(groups)
        assert two > 0.5 and one < 0.3, f"60 % were reserved: {one:.3f} and {two:.3f} processors"

        daemon.hostler("stop", "--hard", "one")
        bound_all(parent, 2)
        daemon.hostler("set", "two", "cpu.reservation=", "cpu.limit=30", "cpu.shares=")
        wait_until(lambda: (groups[1] / "cpu.max").read_text() == "30000 100000\n")
        (two,) = measure(groups[1:])
        assert 0.15 < two < 0.3 * 1.1, f"limited to 30 %: {two:.3f} processors"
        wait_until(lambda: not groups[0].exists(), what="the group goes with its VM")
        daemon.hostler("stop", "--hard", "two")
        daemon.stop()
        assert not parent.exists(), "the groups are removed"
        return [one, two]


HOLD = "import sys, time; kept = bytearray(int(sys.argv[1]) << 20); kept[::4096] = b'x' * len(kept[::4096]); print('held', flush=True); time.sleep(9999)"


def hold(mib, group=None):
    """A process that has written to @mib of memory, in @group like the QEMU there."""
    process = subprocess.Popen(["python3", "-c", HOLD, str(mib)], stdout=subprocess.PIPE, text=True,
                               preexec_fn=lambda: group and (group / "cgroup.procs").write_text(str(os.getpid())))
    assert process.stdout.readline() == "held\n"
    return process


def number_of(path, name):
    return next(int(line.split()[1]) >> 10 for line in pathlib.Path(path).read_text().splitlines() if line.startswith(name))


def reserved_memory_stays():
    """When the host is short of memory, what is swapped out is others'; also in a resource pool."""
    swap = pathlib.Path("/data/swap")
    subprocess.run(["dd", "if=/dev/zero", f"of={swap}", "bs=1M", "count=700"], check=True, capture_output=True)
    for command in (["chmod", "600", swap], ["mkswap", swap], ["swapon", swap]):
        subprocess.run(command, check=True, capture_output=True)
    with Daemon(images=(), environment={"HOSTLER_ACCEL": "kvm"}) as daemon:
        daemon.hostler("respool", "create", "shop")
        pids = [busy_vm(daemon, "kept", "memory.reservation=256M", "options.respool=shop", memory="256M"), busy_vm(daemon, "not", memory="256M")]
        wait_until(lambda: all("hostler-" in str(group_of(pid)) for pid in pids))
        kept, other = [group_of(pid) for pid in pids]
        floors = lambda: [(group / "memory.min").read_text().strip() for group in (kept, kept.parent, kept.parent.parent, other)]
        wait_until(lambda: floors() == [str(256 << 20)] * 3 + ["0"], what="the kernel knows of it")
        holders = [hold(180, kept), hold(180, other)]
        hog = hold(number_of("/proc/meminfo", "MemAvailable") + 100)
        swapped = [number_of(f"/proc/{holder.pid}/status", "VmSwap") for holder in holders]
        for process in (hog, *holders):
            process.kill()
            process.wait()
        assert swapped[0] < 10 and swapped[1] > 40, swapped
        daemon.hostler("set", "kept", "memory.reservation=")
        wait_until(lambda: floors() == ["0"] * 4, what="it no longer is")
        for name in ("kept", "not"):
            daemon.hostler("stop", "--hard", name)
    subprocess.run(["swapoff", swap], check=True)
    swap.unlink()
    return swapped


def unit_test(*prefix):
    """The unit test on the real thing, run by @prefix; what is new below the root's group afterwards."""
    done = subprocess.run([*prefix, UNIT_TEST, "-p", "/cgroup-group/this-host"], capture_output=True, text=True)
    assert done.returncode == 0 and "ok 1" in done.stdout and "SKIP" not in done.stdout, done.stdout + done.stderr


def enter(group, then):
    """Words that run what follows them in @group."""
    return ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec {then} "$@"', "sh"]


def who_may():
    """A user to whom a group is given, as service managers give it; with the group above it, and without; and a container."""
    (ROOT_GROUP / "cgroup.subtree_control").write_text("+cpu +memory")
    as_nobody = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups"
    given = ROOT_GROUP / "slice" / "given"
    given.mkdir(parents=True)
    (given.parent / "cgroup.subtree_control").write_text("+cpu")
    give(given)
    unit_test(*enter(given, as_nobody))
    assert [path.name for path in given.glob("*/")] == ["rest"], "it was made below the one that was given"
    (given / "rest").rmdir()
    (given / "cgroup.subtree_control").write_text("-cpu")
    give(given.parent)
    unit_test(*enter(given, as_nobody))
    assert [path.name for path in given.parent.glob("*/")] == ["given"] and not list(given.glob("*/")), "it was made beside ours"

    box = ROOT_GROUP / "box"
    box.mkdir()
    unit_test(*enter(box, "unshare --cgroup --mount"), "sh", "-c", 'umount /sys/fs/cgroup && mount -t cgroup2 cgroup /sys/fs/cgroup && exec "$@"', "sh")
    assert [path.name for path in box.glob("*/")] == ["rest"]

    refused = subprocess.run([*enter(ROOT_GROUP, as_nobody), UNIT_TEST, "-p", "/cgroup-group/this-host"], capture_output=True, text=True)
    assert "is not given to this user" in refused.stdout, refused.stdout


def give(group):
    for path in (group, group / "cgroup.procs", group / "cgroup.subtree_control"):
        os.chown(path, NOBODY, NOBODY)


def pool_state(daemon):
    return next(pool for pool in daemon.json("pool", "ls") if pool["name"] == "share")["state"]


# What would touch a volume, and is refused while nobody knows whether it is there.
AWAY = (("start", "web"), ("snapshot", "create", "web", "two"), ("snapshot", "rm", "web", "one"), ("revert", "web", "one"), ("clone", "web", "copy"),
        ("clone", "web", "copy", "--full"), ("rm", "web", "--now"), ("create", "new", "memory.size=64M", "disk0.size=1M", "disk0.pool=share"))


def with_its_server_away(daemon):
    for words in AWAY:
        began = time.monotonic()
        refusal = daemon.refused(1, *words)
        assert "pool share" in refusal and "does not answer" in refusal and "server" in refusal, (words, refusal)
        assert time.monotonic() - began < 8, words
    daemon.hostler("create", "other", "memory.size=64M", "disk0.size=1M")
    assert {vm["name"] for vm in daemon.json("ls")} == {"web", "other"}, "nobody else waits"
    daemon.hostler("rm", "other", "--now")
    assert [vm["name"] for vm in daemon.json("ls")] == ["web"], "it has nothing there"


def of_a_running_vm_on(share, daemon):
    """Locks go through the share, also to a QEMU that is not ours; clones of a VM that runs there, and its end."""
    daemon.hostler("create", "busy", "memory.size=64M", "disk0.size=1M", "disk0.pool=share")
    daemon.hostler("start", "busy")
    head = next((share / daemon.show("busy")["id"]).glob("disk0*.qcow2"))
    second = subprocess.run(["qemu-io", "-f", "qcow2", head, "-c", "write 0 512"], capture_output=True, text=True)
    assert second.returncode != 0 and "lock" in second.stderr, second.stdout + second.stderr
    daemon.hostler("clone", "busy", "linked")
    daemon.hostler("clone", "busy", "full", "--full")
    assert "linked" in daemon.refused(4, "rm", "busy", "--now", "-y")
    for name in ("linked", "full"):
        daemon.hostler("start", name)
    assert {vm["status"]["power"] for vm in daemon.json("ls") if vm["name"] in ("linked", "full", "busy")} == {"running"}
    folders = [share / daemon.show(name)["id"] for name in ("linked", "busy")]
    for name in ("linked", "full", "busy"):
        daemon.hostler("rm", name, "--now", "-y")
    assert not any(folder.exists() for folder in folders)


def on_a_share():
    """A pool on a real NFS share, and what is said and done while the server is away."""
    exported, share = pathlib.Path("/data/export"), pathlib.Path("/data/share")
    for folder in (exported, share):
        folder.mkdir()
    inner_nfs.export(exported)
    inner_nfs.mount(share)
    with Daemon(images=()) as daemon:
        daemon.hostler("pool", "create", "share", "--path", share)
        daemon.hostler("create", "web", "memory.size=64M", "disk0.size=1M", "disk0.pool=share")
        daemon.hostler("snapshot", "create", "web", "one")
        assert len(list(exported.rglob("disk0*.qcow2"))) == 2
        of_a_running_vm_on(share, daemon)
        inner_nfs.stop()
        wait_until(lambda: pool_state(daemon) == "missing", 30)
        with_its_server_away(daemon)
        inner_nfs.start(exported)
        (share / ".hostler-pool").read_text()  # comes once the server's time of grace is over
        wait_until(lambda: pool_state(daemon) == "ready", 60)
        daemon.hostler("revert", "web", "one")
    subprocess.run(["umount", share], check=True)
    inner_nfs.stop()


def switch_in_the_kernel():
    """Where the kernel has Open vSwitch's datapath it is loaded and used, and policies do there what they do elsewhere."""
    with Daemon(images=(), start=False) as daemon:
        daemon.start("--system")
        daemon.hostler("switch", "create", "lan")
        assert daemon.json("switch", "show", "lan")["datapath"] == "system"
        daemon.hostler("switch", "rm", "lan")
    assert pathlib.Path("/sys/module/openvswitch").exists()
    tests = [word for name in KERNEL_SWITCH for word in ("-p", f"/switch/{name}")]
    done = subprocess.run([SWITCH_TEST, *tests], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("\nok ") == len(KERNEL_SWITCH) and "SKIP" not in done.stdout, done.stdout + done.stderr


@limit(900)
def test_inner_host():
    with Host(cgroup="v2", modules=("kvm_amd",)) as host:
        check_host(host)
        host.call(who_may)
        host.call(shares_reservation_limit, timeout=200)
        print("MiB swapped out of a VM that has reserved them, and of another:", host.call(reserved_memory_stays, timeout=300))
        host.call(on_a_share, timeout=200)
        host.call(switch_in_the_kernel, timeout=200)
