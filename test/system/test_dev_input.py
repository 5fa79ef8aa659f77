"""Keyboards, mice, tablets and hubs: plugged, used from outside, read from inside the guest, and gone again."""
import re

from harness import limit, wait_until

# [name, model, kind of event]: what is done from outside, and what evtest must then say
KEYS = [["virtio-keyboard-pci", "QEMU Virtio Keyboard"], ["usb-kbd", "QEMU QEMU USB Keyboard"]]
POINTERS = [
    ["virtio-mouse-pci", "QEMU Virtio Mouse", ["--right", "10", "--down", "-3", "--click", "right"],
     ["REL_X), value 10", "REL_Y), value -3", "BTN_RIGHT), value 1", "BTN_RIGHT), value 0"]],
    ["virtio-tablet-pci", "QEMU Virtio Tablet", ["--x", "0.5", "--y", "0.25", "--click", "left"],
     ["ABS_X), value 16384", "ABS_Y), value 8192", "BTN_LEFT), value 1"]],
    ["usb-mouse", "QEMU QEMU USB Mouse", ["--right", "5", "--click", "middle"], ["REL_X), value 5", "BTN_MIDDLE), value 1"]],
    ["usb-tablet", "QEMU QEMU USB Tablet", ["--x", "1", "--click", "left"], ["ABS_X), value 32767", "BTN_LEFT), value 1"]],
]


def device(daemon, name):
    return next((row for row in daemon.json("device", "ls", "vm") if row["name"] == name), None)


def event_file(daemon, name):
    """/dev/input/eventN of the input device that is called @name."""
    text = daemon.guest("vm", "cat", "/proc/bus/input/devices")
    for block in text.split("\n\n"):
        if f'Name="{name}"' in block:
            return "/dev/input/" + re.search(r"event\d+", block)[0]


def watched(daemon, name, act, expected):
    """What evtest prints of the device called @name while @act is done, until all of @expected is in it."""
    path = wait_until(lambda: event_file(daemon, name), 30, f"the guest has a {name}")
    daemon.guest("vm", "sh", "-c", f"rm -f /tmp/ev; evtest {path} > /tmp/ev 2>&1 < /dev/null & echo $! > /tmp/pid")
    wait_until(lambda: "Testing" in daemon.guest("vm", "cat", "/tmp/ev"), 30, "evtest listens")
    act()
    try:
        wait_until(lambda: all(word in daemon.guest("vm", "cat", "/tmp/ev") for word in expected), 30, f"{name} says {expected}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{daemon.guest('vm', 'cat', '/tmp/ev')}")
    finally:
        daemon.guest("vm", "sh", "-c", "kill $(cat /tmp/pid)")


def plug(daemon, model, *words):
    """Adds an input device of @model live; returns its row, complete with what the guest says of it."""
    added = daemon.json("device", "add", "vm", "input", "--model", model, *words)
    name = next(row["name"] for row in added if row["kind"] == "input")
    return wait_until(lambda: (row := device(daemon, name)) and row.get("guest") and row, 30, f"the guest knows {model}")


def unplug(daemon, name, guest_name):
    daemon.hostler("device", "rm", "vm", name)
    assert device(daemon, name) is None
    wait_until(lambda: event_file(daemon, guest_name) is None, 30, f"{guest_name} is gone")


def check_board(daemon):
    row = device(daemon, "input0")
    assert (row["model"], row["state"], row["live"]) == ("ps2", "attached", False), row
    wait_until(lambda: "AT Translated Set 2 keyboard" in (device(daemon, "input0").get("guest") or ""), 60, "the guest has its PS/2 keyboard")
    watched(daemon, "AT Translated Set 2 keyboard", lambda: daemon.hostler("send-key", "vm", "ctrl-alt-f5"),
            ["KEY_LEFTCTRL), value 1", "KEY_LEFTALT), value 1", "KEY_F5), value 1", "KEY_F5), value 0", "KEY_LEFTCTRL), value 0"])
    assert "one keyboard controller" in daemon.refused(2, "device", "add", "vm", "input", "--model", "vmmouse")


def check_refusals(daemon):
    assert "did you mean: delete" in daemon.refused(2, "send-key", "vm", "a", "ctrl-delte")
    assert "it needs a place" in daemon.refused(2, "send-pointer", "vm")
    assert "has no memory" in daemon.refused(2, "device", "add", "vm", "input", "memory=1M")
    assert "has no memory" in daemon.refused(2, "device", "add", "vm", "usb", "memory=1M")


def check_keys(daemon):
    for model, guest_name in KEYS:
        row = plug(daemon, model)
        assert row["guest"] == guest_name and row["live"] and row["state"] == "attached", row
        watched(daemon, guest_name, lambda: daemon.hostler("send-key", "vm", "a", "shift-b", "enter"),
                ["KEY_A), value 1", "KEY_LEFTSHIFT), value 1", "KEY_B), value 1", "KEY_ENTER), value 1", "KEY_ENTER), value 0"])
        unplug(daemon, row["name"], guest_name)


def check_pointers(daemon):
    for model, guest_name, words, expected in POINTERS:
        row = plug(daemon, model)
        assert row["guest"] == guest_name, row
        watched(daemon, guest_name, lambda: daemon.hostler("send-pointer", "vm", *words), expected)
        unplug(daemon, row["name"], guest_name)


def check_hubs(daemon):
    """A tablet on a hub on a hub; a hub with something on it stays."""
    daemon.hostler("device", "add", "vm", "hub")
    daemon.hostler("device", "add", "vm", "hub", "upper", "controller=hub0", "ports=2")
    row = plug(daemon, "usb-wacom-tablet", "controller=upper")
    assert row["place"] == "upper 1", row
    assert device(daemon, "upper")["place"] == "hub0 1"
    assert "Wacom" in row["guest"], row  # "Penpartner Pen" by its own driver, which may come after the general one
    paths = daemon.guest("vm", "sh", "-c", "cd /sys/bus/usb/devices; grep -H . */serial").splitlines()
    found = {line.rpartition(":")[2]: line.partition("/")[0] for line in paths}
    assert found["upper"] == found["hub0"] + ".1" and found[row["name"]] == found["upper"] + ".1", found
    assert daemon.guest("vm", "cat", f"/sys/bus/usb/devices/{found['upper']}/maxchild") == "2"
    assert f"{row['name']} sits on upper" in daemon.refused(4, "device", "rm", "vm", "upper")
    assert "stand on itself" in daemon.refused(2, "set", "vm", "hub0.controller=upper")
    daemon.hostler("device", "rm", "vm", row["name"])
    wait_until(lambda: "Wacom" not in daemon.guest("vm", "cat", "/proc/bus/input/devices"), 30, "the tablet is gone")
    daemon.hostler("device", "rm", "vm", "upper")
    daemon.hostler("device", "rm", "vm", "hub0")
    wait_until(lambda: "Hub" not in daemon.guest("vm", "lsusb").replace("root hub", ""), 30, "the hubs are gone")


def check_controller(daemon):
    """The controller came along with the first USB device, and can go when nothing is on it."""
    row = device(daemon, "usb0")
    assert row["model"] == "qemu-xhci" and row["guest"] == "xhci_hcd" and row["live"], row
    assert "1b36:000d" in daemon.guest("vm", "lspci", "-n", "-s", row["address"])
    assert "15p" in daemon.guest("vm", "lsusb", "-t"), daemon.guest("vm", "lsusb", "-t")
    daemon.hostler("device", "rm", "vm", "usb0")
    wait_until(lambda: "1b36:000d" not in daemon.guest("vm", "lspci", "-n"), 30, "the controller is gone")


@limit(300)
def test_keys_pointers_and_hubs():
    from harness import Daemon
    with Daemon(images=("tiny-full",)) as daemon:
        daemon.create("vm", "--memory", "320M", "input0.model=ps2", image="tiny-full", timeout=300)
        check_board(daemon)
        check_refusals(daemon)
        check_keys(daemon)
        check_pointers(daemon)
        check_hubs(daemon)
        check_controller(daemon)
