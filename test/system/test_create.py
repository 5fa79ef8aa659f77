"""Creating: what the guest is told to be, it is; what is wrong is listed whole, and then nothing is created."""
import json

from harness import wait_until

MIB = 1024 * 1024


def test_the_guest_is_what_the_spec_says(daemon):
    vm = daemon.create("web1", "--cpus", 2, "--memory", "512M", "--disk", "1G", "nic0.mac=52:54:00:12:34:56", "disk1.size=64M",
                       "disk1.serial=data-1", "disk2.size=32M")
    assert daemon.guest("web1", "grep", "-c", "^processor", "/proc/cpuinfo") == "2"
    total = int(daemon.guest("web1", "sed", "-n", "s/^MemTotal: *\\([0-9]*\\) kB/\\1/p", "/proc/meminfo")) * 1024
    assert 330 * MIB < total < 512 * MIB
    assert daemon.guest("web1", "cat", "/sys/class/net/eth0/address") == "52:54:00:12:34:56"
    assert disks(daemon, "web1") == {"disk0": 1024 * MIB, "data-1": 64 * MIB, "disk2": 32 * MIB}
    assert daemon.guest("web1", "hostname") == "web1"
    assert daemon.guest("web1", "cat", "/sys/class/dmi/id/product_uuid") == vm["id"]
    # The root file system was stretched over the larger disk.
    wait_until(lambda: int(daemon.guest("web1", "sh", "-c", "df -k / | tail -1 | awk '{print $2}'")) > 900 * 1024, 30, every=0.5)


def disks(daemon, vm):
    """{serial: bytes} as the guest sees them."""
    lines = daemon.guest(vm, "sh", "-c", 'for d in /sys/block/vd*; do echo "$(cat $d/serial) $(cat $d/size)"; done').splitlines()
    return {serial: int(sectors) * 512 for serial, sectors in (line.split() for line in lines)}


def test_phases_and_status_of_a_new_guest(daemon):
    done = daemon.run("create", "web1", "--image", "tiny", "--start", "--wait", "ip")
    assert done.returncode == 0
    shown = [line.split()[0] for line in done.stderr.splitlines() if line.startswith("  ")]
    assert [phase for phase in shown if phase in ("kernel", "userspace", "agent", "ip")] == ["kernel", "userspace", "agent", "ip"]
    vm = wait_until(lambda: (vm := daemon.show("web1"))["status"].get("os") and vm)
    status = vm["status"]
    assert (status["power"], status["accel"], status["phase"], status["cpus"]) == ("running", "tcg", "ip", 1)
    assert status["host_name"] == "web1" and "Hostler tiny" in status["os"]
    assert {"address": "10.0.2.15", "nic": "nic0", "mac": vm["spec"]["nic0"]["mac"], "source": "agent"} in status["addresses"]
    assert status["conditions"] == [] and status["pending"] == []
    assert set(vm) == {"id", "name", "generation", "created", "spec", "status"} and vm["generation"] == 1
    phases = [event["data"]["phase"] for event in daemon.json("event", "ls", "--object", "vm/web1") if event["kind"] == "vm-phase"]
    assert phases == ["firmware", "kernel", "userspace", "agent", "ip"]


def test_create_without_start_is_off_and_answers_the_vm(daemon):
    vm = daemon.json("create", "web1", "--image", "tiny")
    assert vm["status"]["power"] == "off" and "pid" not in vm["status"]
    assert daemon.json("ls") == [daemon.show("web1")] and daemon.show(vm["id"])["name"] == "web1"
    assert daemon.hostler("ls", "-o", "name") == "web1\n"
    assert "name: web1" in daemon.hostler("ls", "-o", "yaml")
    assert daemon.hostler("ls", "--no-headers", "--columns", "name,spec.cpu.count").split() == ["web1", "1"]


def test_every_fault_is_listed_and_nothing_is_created(daemon):
    problem = json.loads(daemon.refused(2, "create", "web1", "--image", "tiny", "-o", "json", "cpu.count=0", "memory.size=1K",
                                        "nic0.mac=53:54:00:12:34:56", "disk1.model=tape"))
    pointers = {cause["pointer"] for cause in problem["causes"]}
    assert {"/spec/cpu/count", "/spec/memory/size", "/spec/nic0/mac", "/spec/disk1/model"} <= pointers
    assert problem["code"] == "invalid" and problem["title"] and problem["detail"]
    assert daemon.json("ls") == [] and not list(daemon.state.glob("vms/*"))


def test_refusals_say_what_to_do(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    assert "web1" in daemon.refused(4, "create", "web1", "--image", "tiny")
    assert "no-image" in daemon.refused(3, "create", "web2", "--image", "no-image")
    assert "/spec/disk0/size" in daemon.refused(2, "create", "web2", "--image", "tiny", "--disk", "1M")
    assert "nic9" in daemon.refused(2, "create", "web2", "--image", "tiny", "nic9.speed=1")
    assert [vm["name"] for vm in daemon.json("ls")] == ["web1"]


def test_dry_run_shows_the_steps_and_does_nothing(daemon):
    steps = daemon.hostler("create", "web1", "--image", "tiny", "--start", "--dry-run")
    for step in ("disk0", "store", "start"):
        assert step in steps
    assert daemon.json("ls") == [] and not list(daemon.state.glob("vms/*")) and daemon.json("job", "ls") == []


def test_more_memory_than_the_host_has_is_refused_before_qemu_runs(daemon):
    daemon.hostler("create", "big", "--image", "tiny", "memory.size=8T", "memory.max=8T")
    assert "memory" in daemon.refused(6, "start", "big")
    assert daemon.power("big") == "off" and not list(daemon.state.glob("vms/*/qemu.log"))


def test_first_disk_may_be_empty_and_the_kernel_from_an_image(daemon):
    """Without a root file system the guest waits in its first shell; that is running, with the kernel phase reached."""
    daemon.hostler("create", "bare", "boot.image=tiny", "disk0.size=64M", "--start")
    wait_until(lambda: daemon.show("bare")["status"].get("phase") == "kernel", 60)
    wait_until(lambda: "no root file system" in daemon.hostler("console", "bare", "--log"), 90, every=0.5)


def test_a_spec_from_a_file_with_words_on_top(daemon):
    spec = daemon.folder / "spec.json"
    spec.write_text(json.dumps({"cpu": {"count": 2}, "memory": {"size": 128 * MIB}, "options": {"description": "from a file"}}))
    daemon.hostler("create", "web1", "--image", "tiny", "-f", spec, "cpu.count=3")
    made = daemon.show("web1")["spec"]
    assert made["cpu"]["count"] == 3 and made["memory"]["size"] == 128 * MIB and made["options"]["description"] == "from a file"
