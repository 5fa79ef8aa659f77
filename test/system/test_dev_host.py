"""Devices of the host: what is listed, and that a VM is refused what the host cannot give, in words, with nothing left behind.

Real passthrough needs an IOMMU and USB devices, which machines that run tests do not have: test-host-devices.c knows sysfs as it looks there.
"""
import pathlib

from harness import skip

PCI = pathlib.Path("/sys/bus/pci/devices")


def a_device_without_iommu(daemon):
    """An address of a device of this host that is no bridge and in no IOMMU group."""
    for row in daemon.json("host", "devices"):
        if row["bus"] == "pci" and not row.get("group") and "bridge" not in row["detail"]:
            return row["address"]
    skip("all PCI devices of this host are in IOMMU groups, or it has none")


def test_host_devices_are_those_of_sysfs():
    from harness import Daemon
    with Daemon(images=()) as daemon:
        rows = {row["address"]: row for row in daemon.json("host", "devices") if row["bus"] == "pci"}
        assert sorted(rows) == sorted(path.name for path in PCI.glob("*"))
        for address, row in rows.items():
            ids = [(PCI / address / name).read_text().strip().removeprefix("0x") for name in ("vendor", "device")]
            assert row["ids"] == ":".join(ids), row
            driver = PCI / address / "driver"
            assert row.get("driver") == (driver.resolve().name if driver.exists() else None), row
            assert row["usable"] or row["detail"], row
        assert all(row["usable"] for row in daemon.json("host", "devices", "--usable"))


def test_a_device_that_the_host_cannot_give_is_refused(daemon):
    address = a_device_without_iommu(daemon)
    daemon.create("vm")
    before = daemon.show("vm")["spec"]
    functions = daemon.guest("vm", "ls", "/sys/bus/pci/devices")
    for words, why in [(["hostpci", f"host={address}"], "no IOMMU group"), (["hostpci", "host=ffff:ff:1f.7"], "no device ffff:ff:1f.7"),
                       (["hostusb", "host=dead:beef"], "no device dead:beef"), (["hostusb", "host=9-9"], "no device 9-9")]:
        done = daemon.run("device", "add", "vm", *words)
        assert done.returncode != 0 and why in done.stderr, done
    assert daemon.show("vm")["spec"] == before, "nothing of it is kept"
    assert daemon.guest("vm", "ls", "/sys/bus/pci/devices") == functions, "a USB controller that had come along is gone too"
    daemon.hostler("stop", "--hard", "vm")

    # A VM that is off may wait for a device; without it, it does not start, and says why.
    daemon.hostler("device", "add", "vm", "hostpci", f"host={address}")
    row = next(row for row in daemon.json("device", "ls", "vm") if row["kind"] == "hostpci")
    assert row["state"] == "stored" and row["live"], row
    done = daemon.run("start", "vm")
    assert done.returncode != 0 and "no IOMMU group" in done.stderr and "VT-d" in done.stderr, done
    assert daemon.power("vm") == "off" and len(daemon.processes()) == 1, daemon.processes()
    daemon.hostler("device", "rm", "vm", "hostpci0")
    daemon.hostler("start", "vm", "--wait", "agent", timeout=180)
