"""What all kinds of devices have in common: what is refused, what waits, what is said of it; and that nothing is half done."""
from harness import wait_until

PORTS = 16


def device(daemon, name):
    return next((row for row in daemon.json("device", "ls", "web1") if row["name"] == name), None)


def refused_whole(daemon, code, *command):
    """Refused in one sentence, and the VM is what it was."""
    before = daemon.show("web1")["spec"], daemon.guest("web1", "ls", "/sys/bus/pci/devices")
    message = daemon.refused(code, "device", *command)
    assert (daemon.show("web1")["spec"], daemon.guest("web1", "ls", "/sys/bus/pci/devices")) == before
    sentence = [line for line in message.splitlines() if line.startswith("hostler: ")]
    assert len(sentence) == 1, message
    return message


def test_what_does_not_exist_is_told_with_near_names(daemon):
    daemon.create("web1")
    assert "ac97" in refused_whole(daemon, 2, "add", "web1", "sound", "--model", "ac98")
    assert "sound" in refused_whole(daemon, 2, "add", "web1", "sond")
    assert "there is no such property" in refused_whole(daemon, 2, "add", "web1", "sound", "lode=7")
    assert "nic0" in refused_whole(daemon, 3, "rm", "web1", "nic9")
    assert "nic has no memory" in refused_whole(daemon, 2, "add", "web1", "nic", "memory=1M")
    assert "nic0" in refused_whole(daemon, 3, "set", "web1", "nci0", "link=off")
    assert "/nowhere/film.mjpeg" in refused_whole(daemon, 3, "add", "web1", "mpeg", "source=/nowhere/film.mjpeg")


def test_a_model_that_cannot_change_live_waits(daemon):
    daemon.create("web1", "sound0.model=ac97")
    row, = daemon.json("set", "web1", "sound0.model=es1370")
    assert (row["property"], row["state"]) == ("sound0.model", "pending"), row
    status = daemon.show("web1")["status"]
    assert status["pending"] == ["sound0.model"]
    is_there = "grep -lx %s /sys/bus/pci/devices/*/device"
    assert daemon.guest("web1", "sh", "-c", is_there % "0x2415")
    daemon.hostler("restart", "web1", "--wait", "agent")
    assert daemon.guest("web1", "sh", "-c", is_there % "0x5000")
    assert daemon.show("web1")["status"]["pending"] == [] and daemon.show("web1")["status"]["pid"] != status["pid"]


def test_a_guest_that_does_not_let_go_keeps_the_device(daemon):
    daemon.create("web1", "sound0.model=ac97")
    wait_until(lambda: device(daemon, "sound0")["state"] == "attached", 10)
    daemon.hostler("pause", "web1")
    before = daemon.show("web1")["spec"]
    assert "sound0 within 1s" in daemon.refused(7, "device", "rm", "web1", "sound0", "--timeout", "1s")
    assert device(daemon, "sound0")["state"] == "attached" and daemon.show("web1")["spec"] == before
    # What was asked of it cannot be taken back: as soon as it runs, it lets go, and that is seen.
    daemon.hostler("resume", "web1")
    wait_until(lambda: device(daemon, "sound0")["state"] == "released", 60)
    daemon.hostler("device", "rm", "web1", "sound0")
    assert device(daemon, "sound0") is None and daemon.guest("web1", "sh", "-c", "grep -lx 0x2415 /sys/bus/pci/devices/*/device; true") == ""
    daemon.hostler("device", "add", "web1", "sound", "sound0")
    assert device(daemon, "sound0")["state"] == "attached"


def test_a_full_bus(daemon):
    daemon.create("web1")
    taken = sum(row.get("place", "").startswith("port ") for row in daemon.json("device", "ls", "web1"))
    for _ in range(PORTS - taken):
        assert daemon.json("device", "add", "web1", "usb")[0]["state"] == "attached"
    assert "16 hot-plug ports of the VM are taken" in refused_whole(daemon, 2, "add", "web1", "usb")
    assert "16 hot-plug ports of the VM are taken" in refused_whole(daemon, 2, "add", "web1", "sound")
    daemon.hostler("device", "rm", "web1", "usb0")
    assert daemon.json("device", "add", "web1", "sound")[0]["state"] == "attached"


def test_what_keeps_a_vm_from_being_saved_is_shown_before(daemon):
    daemon.create("web1")
    assert not any("blocks" in row for row in daemon.json("device", "ls", "web1"))
    added = daemon.json("device", "add", "web1", "sound", "--model", "usb-audio")
    row = next(row for row in added if row["name"] == "sound0")
    assert row["blocks"] and device(daemon, "sound0")["blocks"] == row["blocks"]
    assert row["blocks"] in daemon.hostler("device", "ls", "web1") and row["blocks"] in " ".join(daemon.hostler("help", "sound").split())
    for command in (("suspend", "web1"), ("snapshot", "create", "web1", "s1")):
        for words in ((*command, "--dry-run"), command):
            assert "sound0: " + row["blocks"] in daemon.refused(1, *words), words
    assert daemon.power("web1") == "running" and daemon.json("snapshot", "ls", "web1") == []
    daemon.hostler("device", "rm", "web1", "sound0")
    daemon.hostler("suspend", "web1")
