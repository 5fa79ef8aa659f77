"""Platform devices: firmware, TPM, shared folders, balloon, entropy, watchdog, panic notifier; and the programs beside QEMU that some stand on."""
import contextlib
import os
import pathlib
import signal

from crash import SMALL, all_events, api_of, check_whole, children_of, find, keeper_of
from harness import Daemon, limit, skip, wait_until
from test_crash_steps import Case, is_power, post, run

MIB = 1 << 20
EFI_VARIABLE = "/sys/firmware/efi/efivars/HostlerTest-4f3c3b0a-6b1f-4f5e-9a3c-3f1f0a5e7c11"
# TPM 2.0 commands (Trusted Computing Group, part 3): extend PCR 14 by 32 bytes, with an empty password; read the clock.
EXTEND_PCR_14 = "8002" "00000041" "00000182" "0000000e" "00000009" "40000009" "0000" "00" "0000" "00000001" "000b" + "ab" * 32
READ_CLOCK = "8001" "0000000a" "00000181"
NO_PCR = "0" * 64
HUGE_PAGES = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")


def events(daemon, kind):
    return [event.get("data", {}) for event in all_events(daemon) if event["kind"] == kind]


def conditions(daemon, vm):
    return {condition["type"] for condition in daemon.show(vm)["status"]["conditions"]}


def devices(daemon, vm):
    return {device["name"]: device for device in daemon.json("device", "ls", vm)}


def folder_of(daemon, vm):
    return daemon.state / "vms" / daemon.show(vm)["id"]


# ---- UEFI, TPM, folders ----


def tpm(daemon, vm, command):
    """Sends a command to the guest's TPM; its answer, which must be a success, as bytes."""
    script = 'exec 3<>/dev/tpm0; echo $0 | xxd -r -p >&3; dd bs=4096 count=1 <&3 2> /dev/null | xxd -p | tr -d "\\n"'
    answer = bytes.fromhex(daemon.guest(vm, "sh", "-c", script, command))
    assert answer[6:10] == bytes(4), f"the TPM refused: {answer.hex()}"
    return answer


def pcr_14(daemon, vm):
    return daemon.guest(vm, "cat", "/sys/class/tpm/tpm0/pcr-sha256/14")


def tpm_resets(daemon, vm):
    """How often the TPM was powered on in its life."""
    return int.from_bytes(tpm(daemon, vm, READ_CLOCK)[26:30])


def write_efi_variable(daemon, vm, text):
    script = f"mount -t efivarfs efivarfs /sys/firmware/efi/efivars; printf '\\007\\000\\000\\000{text}' > /tmp/v; dd if=/tmp/v of={EFI_VARIABLE} bs=4096"
    daemon.guest(vm, "sh", "-c", script)


def efi_variable(daemon, vm):
    return daemon.guest(vm, "sh", "-c", f"mount -t efivarfs efivarfs /sys/firmware/efi/efivars; tail -c +5 {EFI_VARIABLE}")


def fire_ib700(daemon, vm):
    """Starts its countdown of 2 s by its ports, since another watchdog's driver has /dev/watchdog; stops it again."""
    daemon.guest(vm, "sh", "-c", "printf '\\016' | dd of=/dev/port bs=1 seek=1091")
    wait_until(lambda: events(daemon, "vm-watchdog"), 30, "the watchdog fired")
    daemon.guest(vm, "sh", "-c", "printf x | dd of=/dev/port bs=1 seek=1089")
    assert events(daemon, "vm-watchdog")[0]["action"] == "none" and daemon.power(vm) == "running"


def check_shares(daemon, vm, shared):
    assert daemon.guest(vm, "sh", "-c", "mkdir /mnt/9p /mnt/virtiofs; mount -t 9p -o trans=virtio,version=9p2000.L share0 /mnt/9p;"
                        "mount -t virtiofs files /mnt/virtiofs; cat /mnt/9p/host /mnt/virtiofs/host") == "from the hostfrom the host"
    daemon.guest(vm, "sh", "-c", "echo guest > /mnt/virtiofs/guest; chown 1234 /mnt/virtiofs/guest; sync")
    assert (shared / "guest").read_text() == "guest\n" and (shared / "guest").stat().st_uid == 1234
    assert "Read-only" in daemon.run("exec", vm, "--", "sh", "-c", "echo more > /mnt/9p/more").stderr
    assert not (shared / "more").exists()
    # A link that the guest makes leads nowhere on the host.
    daemon.guest(vm, "ln", "-s", "/etc/hostname", "/mnt/virtiofs/link")
    assert daemon.run("exec", vm, "--", "cat", "/mnt/9p/link").stdout == daemon.run("exec", vm, "--", "cat", "/etc/hostname").stdout
    shown = devices(daemon, vm)
    assert (shown["share0"]["guest"], shown["share0"]["model"]) == ("9pnet_virtio share0", "virtio-9p")
    assert shown["share1"]["guest"].strip() == "virtiofs" and shown["share1"]["state"] == "attached"
    refusal = daemon.refused(1, "suspend", vm)
    assert "share0" in refusal and "share1" in refusal and daemon.power(vm) == "running"


def check_sleep_keeps_the_tpm(daemon, vm):
    tpm(daemon, vm, EXTEND_PCR_14)
    extended = pcr_14(daemon, vm)
    assert extended != NO_PCR
    daemon.hostler("suspend", vm)
    daemon.hostler("resume", vm, "--wait", "agent")
    assert pcr_14(daemon, vm) == extended
    daemon.hostler("suspend", "--to-ram", vm)
    daemon.hostler("resume", vm, "--wait", "agent")
    assert pcr_14(daemon, vm) == extended


def check_watchdog(daemon, vm):
    """One that is plugged live pauses the guest that does not feed it; another time it resets the guest."""
    start = ("rmmod i6300esb; modprobe i6300esb heartbeat=2;"
             "echo fed > /dev/$(basename $(dirname $(grep -l i6300 /sys/class/watchdog/*/identity)))")
    daemon.hostler("device", "add", vm, "watchdog", "action=pause")
    wait_until(lambda: devices(daemon, vm)["watchdog"].get("guest") == "i6300ESB timer", 30, "the guest has its driver")
    assert (devices(daemon, vm)["watchdog"]["model"], devices(daemon, vm)["watchdog"]["state"]) == ("i6300esb", "attached")
    daemon.guest(vm, "sh", "-c", start)
    wait_until(lambda: daemon.power(vm) == "paused", 60, "the watchdog has paused it")
    assert "watchdog" in conditions(daemon, vm) and events(daemon, "vm-watchdog")[-1]["action"] == "pause"
    row, = daemon.json("set", vm, "watchdog.action=reset")
    assert (row["device"], row["state"]) == ("reset", "applied")
    daemon.hostler("resume", vm)
    assert "watchdog" not in conditions(daemon, vm)
    daemon.guest(vm, "sh", "-c", start)
    wait_until(lambda: events(daemon, "vm-watchdog")[-1]["action"] == "reset" and events(daemon, "vm-reset"), 60, "it fired again")


@limit(900)
def test_uefi_tpm_and_shared_folders():
    with Daemon(images=("tiny-full",)) as daemon:
        shared = daemon.folder / "shared"
        shared.mkdir()
        (shared / "host").write_text("from the host")
        create = ["firmware.model=uefi", "tpm.kind=tpm", "watchdog.model=ib700", "watchdog.action=none", f"share0.source={shared}",
                  "share0.readonly=on", f"share1.source={shared}", "share1.model=virtiofs", "share1.tag=files"]
        daemon.create("web1", "memory.size=320M", *create, image="tiny-full", timeout=300)
        assert daemon.guest("web1", "cat", "/sys/firmware/efi/fw_platform_size") == "64"
        assert devices(daemon, "web1")["firmware"]["guest"] == "UEFI" and devices(daemon, "web1")["tpm"]["guest"] == "TPM 2"
        check_shares(daemon, "web1", shared)
        fire_ib700(daemon, "web1")
        write_efi_variable(daemon, "web1", "remembered")
        tpm(daemon, "web1", EXTEND_PCR_14)
        resets = tpm_resets(daemon, "web1")
        for share in ("share0", "share1"):
            daemon.hostler("device", "rm", "web1", share)
            assert devices(daemon, "web1")[share]["state"] == "going"
        daemon.hostler("stop", "web1")
        daemon.hostler("device", "rm", "web1", "watchdog")
        daemon.hostler("start", "web1", "--wait", "agent", timeout=300)
        assert not {"share0", "share1", "watchdog"} & set(devices(daemon, "web1"))
        assert efi_variable(daemon, "web1") == "remembered"
        assert tpm_resets(daemon, "web1") == resets + 1 and pcr_14(daemon, "web1") == NO_PCR
        check_sleep_keeps_the_tpm(daemon, "web1")
        check_watchdog(daemon, "web1")
        daemon.hostler("stop", "--hard", "web1")
        daemon.hostler("device", "rm", "web1", "tpm")
        assert not (folder_of(daemon, "web1") / "tpm").exists()


@limit(300)
def test_secure_boot_is_on(daemon):
    daemon.create("web1", "firmware.model=uefi-secure", "rng.rate=1048576", timeout=240)
    assert "Secure boot enabled" in daemon.guest("web1", "dmesg")
    assert "hostler suspend web1" in daemon.refused(1, "suspend", "--to-ram", "web1")
    assert daemon.guest("web1", "cat", "/sys/class/misc/hw_random/rng_current").startswith("virtio_rng")
    assert len(daemon.guest("web1", "sh", "-c", "dd if=/dev/hwrng bs=16 count=1 2> /dev/null | xxd -p")) == 32


# ---- balloon, panic ----


def memory_info(daemon, vm, name):
    line = next(line for line in daemon.guest(vm, "cat", "/proc/meminfo").splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) << 10


def resident(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def daemon_metrics(daemon):
    """{name with labels: value}"""
    connection = api_of(daemon)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def check_balloon(daemon, vm):
    pid = daemon.show(vm)["status"]["pid"]
    daemon.guest(vm, "sh", "-c", "mount -t tmpfs tmpfs /mnt; dd if=/dev/zero of=/mnt/zeros bs=1M count=96")
    touched = resident(pid)
    daemon.guest(vm, "rm", "/mnt/zeros")
    # What the guest has let go of comes back by itself.
    wait_until(lambda: resident(pid) < touched - 64 * MIB, 60, "free pages are given back")
    before = memory_info(daemon, vm, "MemAvailable")
    row, = daemon.json("set", vm, "balloon.target=160M")
    assert (row["device"], row["state"]) == ("160M", "applied") and "available" in row["guest"]
    assert before - memory_info(daemon, vm, "MemAvailable") > 80 * MIB
    for wrong in ("0", "256M", "1M"):
        daemon.refused(2, "set", vm, f"balloon.target={wrong}")
    statistics = lambda: daemon.show(vm)["status"].get("guest_memory", {})
    wait_until(lambda: statistics().get("ballooned") == 96 * MIB and statistics().get("available", before) < before - 60 * MIB, 90, "the balloon tells")
    shown = statistics()
    assert all(0 < shown[name] < shown["total"] for name in ("free", "available", "caches")), shown
    metrics = daemon_metrics(daemon)
    assert metrics[f'hostler_vm_guest_memory_ballooned_bytes{{vm="{vm}"}}'] == shown["ballooned"]
    assert daemon.json("set", vm, "balloon.target=")[0]["device"] == "256M"
    assert abs(memory_info(daemon, vm, "MemAvailable") - before) < 32 * MIB
    # The target is of all its memory, plugged or not, and stays what it is when that grows.
    daemon.hostler("set", vm, "balloon.target=240M")
    daemon.hostler("set", vm, "memory.size=384M")
    wait_until(lambda: statistics().get("ballooned") == 144 * MIB, 60, "the balloon keeps to its target")
    daemon.hostler("set", vm, "balloon.target=")
    daemon.hostler("set", vm, "memory.size=256M")


def panic(daemon, vm):
    daemon.run("exec", vm, "--timeout", "3s", "--", "sh", "-c", "echo c > /proc/sysrq-trigger")
    wait_until(lambda: daemon.power(vm) == "crashed", 60, "the panic is seen")


def check_panic(daemon, vm):
    panic(daemon, vm)
    pid = daemon.show(vm)["status"]["pid"]
    assert "panicked" in conditions(daemon, vm) and events(daemon, "vm-panicked")[-1] == {"action": "pause"}
    assert "hostler restart" in daemon.refused(4, "exec", vm, "--", "true")
    daemon.restart()
    assert daemon.power(vm) == "crashed" and "panicked" in conditions(daemon, vm)
    daemon.hostler("restart", vm, "--wait", "agent")
    assert daemon.show(vm)["status"]["pid"] == pid and "panicked" not in conditions(daemon, vm)
    assert daemon.json("set", vm, "panic.action=poweroff")[0]["state"] == "applied"
    panic(daemon, vm)
    wait_until(lambda: "pid" not in daemon.show(vm)["status"], 20, "QEMU has ended")
    status = daemon.show(vm)["status"]
    assert status["power"] == "crashed" and status["exit"]["reason"] == "guest-panic"
    assert "Kernel panic" in daemon.hostler("console", vm, "--log")
    daemon.restart()
    assert daemon.power(vm) == "crashed"
    daemon.hostler("start", vm)
    assert daemon.power(vm) == "running" and "panicked" not in conditions(daemon, vm)


@limit(900)
def test_balloon_and_panic(daemon):
    daemon.create("web1")
    check_balloon(daemon, "web1")
    check_panic(daemon, "web1")


# ---- what the host lacks ----


def test_what_the_host_lacks_is_refused_by_name_and_leaves_nothing(daemon):
    tools = daemon.folder / "tools"
    tools.mkdir()
    (tools / "qemu-system-x86_64").symlink_to("/usr/bin/qemu-system-x86_64")
    (daemon.folder / "link").symlink_to("/usr/share")
    link, lost = daemon.folder / "link", daemon.folder / "lost"
    cases = [(1, "apt-get install swtpm", {"tpm": {}}), (2, str(lost), {"share0": {"source": str(lost)}}),
             (2, "without symbolic links", {"share0": {"source": str(link)}}), (5, "Hostler's own", {"share0": {"source": str(daemon.state / "vms")}}),
             (6, "sysctl vm.nr_hugepages=", {"memory": {"size": 1 << 40, "max": 1 << 40, "hugepages": True}})]
    if not os.path.exists("/dev/vhost-vsock"):
        cases.append((1, "modprobe vhost_vsock", {"vsock": {}}))
    daemon.stop()
    daemon.start(environment={"PATH": str(tools)})
    for number, (code, says, spec) in enumerate(cases):
        api_of(daemon).job("POST", "/v1/vms", {"name": f"vm{number}", "spec": SMALL | spec})
        done = daemon.run("start", f"vm{number}")
        assert says in done.stderr and done.returncode == code, (spec, done)
        assert daemon.power(f"vm{number}") == "off"
    check_whole(daemon)
    assert len(daemon.processes()) == 1, daemon.processes()


def test_addresses_of_vsocks_are_unique(daemon):
    for name in ("web1", "web2"):
        api_of(daemon).job("POST", "/v1/vms", {"name": name, "spec": SMALL | {"vsock": {}}})
    cid = lambda name: daemon.show(name)["spec"]["vsock"]["cid"]
    assert 3 <= cid("web1") < 2**32 - 1 and cid("web1") != cid("web2")
    assert "web1" in daemon.refused(2, "set", "web2", f"vsock.cid={cid('web1')}")


@contextlib.contextmanager
def huge_pages(count):
    """The host sets @count more of them aside, and takes them back."""
    before = int(HUGE_PAGES.read_text())
    try:
        HUGE_PAGES.write_text(str(before + count))
        yield int(HUGE_PAGES.read_text()) - before
    finally:
        HUGE_PAGES.write_text(str(before))


def test_memory_in_huge_pages(daemon):
    if os.geteuid() != 0 or not HUGE_PAGES.exists():
        skip("huge pages can only be set aside by root")
    spec = SMALL | {"memory": {"size": 64 * MIB, "hugepages": True, "shared": True}}
    with huge_pages(32) as got:
        if got < 32:
            skip(f"the host could set aside only {got} huge pages")
        api_of(daemon).job("POST", "/v1/vms", {"name": "web1", "start": True, "spec": spec})
        maps = pathlib.Path(f"/proc/{find(daemon, 'web1')['status']['pid']}/smaps").read_text()
        assert "KernelPageSize:     2048 kB" in maps and "Shared_Hugetlb" in maps
        daemon.hostler("stop", "--hard", "web1")


# ---- the daemon is killed while a program beside QEMU comes or goes ----


def with_tpm(*verbs):
    def prepare(daemon, name):
        api_of(daemon).job("POST", "/v1/vms", {"name": name, "start": bool(verbs), "spec": SMALL | {"tpm": {}}})
        for verb in verbs[1:]:
            api_of(daemon).job(*post(verb)(name))
    return prepare


@limit(600)
def test_crashes_with_a_program_beside_qemu():
    removal = lambda name: ("PATCH", f"/v1/vms/{name}", {"spec": {"tpm": None}})
    run(Case("vm.start", post("start"), is_power("running"), prepare=with_tpm()),
        Case("vm.stop", post("stop", hard=True), is_power("off"), prepare=with_tpm("start")),
        Case("vm.suspend", post("suspend"), is_power("suspended"), prepare=with_tpm("start"), before=is_power("running")),
        Case("vm.resume", post("resume"), is_power("running"), prepare=with_tpm("start", "suspend")),
        Case("vm.set", removal, lambda vm: "tpm" not in vm["spec"], prepare=with_tpm()))


def swtpm_of(daemon, vm):
    return [pid for pid in children_of(keeper_of(daemon, daemon.show(vm))) if "swtpm" in os.readlink(f"/proc/{pid}/exe")]


def test_a_killed_program_beside_qemu_is_told_and_back_after_a_restart(daemon):
    with_tpm("start")(daemon, "web1")
    pid = daemon.show("web1")["status"]["pid"]
    daemon.restart(kill=True)
    swtpm, = swtpm_of(daemon, "web1")
    assert "helper-ended" not in conditions(daemon, "web1")
    os.kill(swtpm, signal.SIGKILL)
    wait_until(lambda: "helper-ended" in conditions(daemon, "web1"), 20, "its end is noticed")
    daemon.restart()
    wait_until(lambda: "helper-ended" in conditions(daemon, "web1"), 20, "the next daemon notices it, too")
    assert daemon.run("suspend", "web1").returncode != 0
    wait_until(lambda: daemon.power("web1") == "running", 20)
    # A reset alone would end QEMU, which cannot reach its TPM any more.
    daemon.hostler("restart", "--hard", "web1")
    status = daemon.show("web1")["status"]
    assert status["power"] == "running" and status["pid"] != pid and not status["conditions"]
    assert len(swtpm_of(daemon, "web1")) == 1


def test_a_killed_keeper_leaves_no_program_behind(daemon):
    with_tpm("start")(daemon, "web1")
    vm = find(daemon, "web1")
    keeper = keeper_of(daemon, vm)
    helpers = children_of(keeper) - {vm["status"]["pid"]}
    assert len(helpers) == 1
    os.kill(keeper, signal.SIGKILL)
    os.kill(vm["status"]["pid"], signal.SIGKILL)
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in helpers), 10, "swtpm ends with its QEMU")
    wait_until(lambda: daemon.power("web1") == "crashed", 10)
