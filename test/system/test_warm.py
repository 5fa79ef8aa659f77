"""The warm pool: QEMUs that wait for their VMs' starts. The guest cannot tell, and nothing is ever left of one."""
import difflib
import os
import signal

from harness import limit, wait_until

# All that a guest can see of its machine, but for interrupts, clocks and what the kernel puts at random.
LOOK = """cat /sys/class/dmi/id/product_uuid /sys/class/dmi/id/product_serial /proc/cmdline
for d in /sys/bus/pci/devices/*; do echo $d; hexdump -C $d/config; cat $d/resource; done
for i in /sys/class/net/eth*; do echo $i $(cat $i/address); readlink -f $i/device; done; cat /proc/partitions; grep MemTotal /proc/meminfo
grep -c processor /proc/cpuinfo; for f in /sys/block/vd*; do echo $f $(cat $f/serial); done; cat /sys/bus/pci/slots/*/address
dmesg | sed 's/^[^]]*] //' | grep -E '^(BIOS-e820|ACPI: (RSDP|XSDT|FACP|DSDT|APIC|MCFG)|pci 0)'
hexdump -C /sys/firmware/qemu_fw_cfg/by_name/bootorder/raw 2> /dev/null || true"""


def warm(daemon, name="web1"):
    return wait_until(lambda: daemon.show(name)["status"]["warm"], 30, f"a QEMU waits for {name}")


def waiting(daemon):
    """Pids of QEMUs that wait."""
    return [pid for pid, command in daemon.processes().items() if "/qemu-system" in command.split()[0]]


@limit(300)
def test_a_start_finds_one_and_the_guest_cannot_tell(daemon):
    daemon.create("web1", "memory.size=256M", "cpu.count=2", "nic1.link=on", "disk1.size=64M")
    cold = daemon.guest("web1", "sh", "-c", LOOK)
    daemon.hostler("stop", "--hard", "web1")
    assert daemon.json("host", "show")["pool_warm"] == 0 and not waiting(daemon), "nobody asked for one"
    daemon.hostler("create", "uefi", "--image", "tiny", "firmware.model=uefi")
    daemon.hostler("create", "older", "--image", "tiny", "memory.size=256M")
    assert daemon.json("host", "set", "--pool-warm", "1")["pool_warm"] == 1
    warm(daemon, "older")  # made last, but for one that none can wait for
    daemon.hostler("rm", "older", "--now")
    warm(daemon)
    assert daemon.json("host", "show")["warm"] == ["web1"]
    pid, = waiting(daemon)
    daemon.hostler("start", "web1", "--wait", "agent")
    assert daemon.show("web1")["status"]["pid"] == pid and not daemon.show("web1")["status"]["warm"]
    seen = daemon.guest("web1", "sh", "-c", LOOK)
    assert seen == cold, "\n".join(difflib.unified_diff(cold.split("\n"), seen.split("\n"), "cold", "warm", lineterm="", n=1))
    assert len(seen) > 10000
    # It is a run as any other: it outlives the daemon, and what is said of it is true.
    daemon.restart(kill=True)
    assert daemon.show("web1")["status"]["pid"] == pid and daemon.guest("web1", "echo", "on") == "on"
    assert not [event for event in daemon.json("event", "ls") if event["kind"] == "vm-reset"]
    daemon.hostler("stop", "--hard", "web1")
    warm(daemon)
    # What waits was started with other memory than is wanted now.
    daemon.hostler("set", "web1", "memory.size=320M")
    daemon.hostler("start", "web1", "--wait", "agent")
    assert int(daemon.guest("web1", "sh", "-c", "grep MemTotal /proc/meminfo | tr -dc 0-9")) > 256 << 10


def test_nothing_is_left_of_one(daemon):
    daemon.hostler("create", "web1", "--image", "tiny", "memory.size=256M")
    daemon.hostler("host", "set", "--pool-warm", "2")
    warm(daemon)
    before = daemon.show("web1")["status"]["since"]
    daemon.kill()
    wait_until(lambda: not daemon.processes(), 10, "it ends with the daemon")
    daemon.start()
    warm(daemon)
    # Killed, it is seen and not tried again and again; another spec is.
    pid, = waiting(daemon)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not daemon.show("web1")["status"]["warm"], 20)
    daemon.hostler("set", "web1", "cpu.count=2")
    warm(daemon)
    # The host's memory is wanted elsewhere.
    daemon.hostler("host", "set", "--pool-warm-floor", "1T")
    wait_until(lambda: not daemon.processes().keys() - {daemon.process.pid}, 20, "it gives its memory back")
    daemon.hostler("host", "set", "--pool-warm-floor", "64M")
    warm(daemon)
    # A VM that is removed at once, one in the trash, a template, and the setting itself.
    daemon.hostler("create", "web2", "--image", "tiny", "memory.size=256M")
    warm(daemon, "web2")
    daemon.hostler("rm", "web2", "--now")
    assert len(waiting(daemon)) == 1 and len(list((daemon.state / "vms").iterdir())) == 1
    daemon.hostler("rm", "web1")
    wait_until(lambda: not waiting(daemon), 20, "it ends with its VM in the trash")
    daemon.hostler("undelete", "web1")
    warm(daemon)
    daemon.hostler("template", "web1")
    wait_until(lambda: not waiting(daemon), 20, "a template never starts")
    daemon.hostler("template", "web1", "--off")
    warm(daemon)
    daemon.hostler("host", "set", "--pool-warm", "0")
    wait_until(lambda: not waiting(daemon), 20, "none is wanted")
    status = daemon.show("web1")["status"]
    assert status["power"] == "off" and "exit" not in status and not (daemon.state / "vms" / daemon.show("web1")["id"] / "run").exists(), (before, status)
