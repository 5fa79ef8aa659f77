"""Graphics cards, screens that come and go, pictures of them and VNC: what the guest draws is what is seen."""
import os
import re
import socket
import stat
import struct

from harness import Daemon, limit, wait_until
from screen import Viewer, png, viewers_port

ROWS = 16
# part: (its properties, PCI id, the window that is its memory, that memory in MiB)
CARDS = {
    "video0": ("model=qxl-vga memory=64M resolution=1600x900", "1b36:0100", 0, 128),
    "video1": ("model=virtio-vga", "1af4:1050", None, None),
    "video2": ("model=vga memory=8M resolution=1024x600", "1234:1111", 0, 8),
    "video3": ("model=cirrus-vga memory=16M", "1013:00b8", 0, 32),
    "video4": ("model=vmware-svga memory=32M", "15ad:0405", 1, 32),
    "video5": ("model=ati-vga memory=64M", "1002:5046", 0, 64),
    "video6": ("model=ramfb", None, None, None),
    "video7": ("model=isa-vga memory=16M", None, None, None),
    "video8": ("model=virtio-gpu-pci resolution=800x600", "1af4:1050", None, None),
    "video9": ("model=qxl memory=8M", "1b36:0100", 0, 64),
}


def device(daemon, name):
    return next((row for row in daemon.json("device", "ls", "vm") if row["name"] == name), None)


def says(daemon, name, word, timeout=60):
    """Waits until the guest says @word of the device; returns all it says."""
    return wait_until(lambda: (text := (device(daemon, name) or {}).get("guest") or "") and word in text and text, timeout,
                      f"the guest says {word} of {name}, and not {device(daemon, name)}")


def window(daemon, address, number):
    """MiB of a window of a PCI card, as the guest has it."""
    line = daemon.guest("vm", "cat", f"/sys/bus/pci/devices/{address}/resource").splitlines()[number]
    first, last, _ = (int(word, 16) for word in line.split())
    return (last - first + 1) >> 20 if last else 0


# ---- pictures ----

def pattern(width):
    """(what is written into a frame buffer of 32 bits a pixel, the same as R, G, B)."""
    pixels = [(x & 255, y * 15, (x >> 2) & 255) for y in range(ROWS) for x in range(width)]
    return b"".join(struct.pack("BBBB", blue, green, red, 0) for red, green, blue in pixels), bytes(byte for pixel in pixels for byte in pixel)


def draw(daemon, address, width):
    """Draws at the top of the card's frame buffer, and returns what must be seen there."""
    written, seen = pattern(width)
    # The kernel's own console would write over it.
    daemon.guest("vm", "sh", "-c", "for c in /sys/class/vtconsole/vtcon*; do grep -q frame $c/name && echo 0 > $c/bind; done; exit 0")
    buffer = wait_until(lambda: daemon.guest("vm", "sh", "-c", f"cd /sys/bus/pci/devices/{address}; ls graphics virtio*/graphics 2> /dev/null || true")
                        .splitlines(), 30, "the card has a frame buffer")[-1]
    # Without a console on it, it is switched off.
    daemon.guest("vm", "sh", "-c", f"echo 0 > /sys/class/graphics/{buffer}/blank")
    stride = int(daemon.guest("vm", "cat", f"/sys/class/graphics/{buffer}/stride"))
    lines = b"".join(written[row * width * 4:(row + 1) * width * 4].ljust(stride, b"\0") for row in range(ROWS))
    path = daemon.folder / "pattern"
    path.write_bytes(lines)
    daemon.hostler("cp", path, "vm:/tmp/pattern")
    daemon.guest("vm", "dd", "if=/tmp/pattern", f"of=/dev/{buffer}", "bs=65536")
    return seen


def screenshot(daemon, output, rows=0):
    path = daemon.folder / "screen.png"
    daemon.hostler("screenshot", "vm", path, "--output", output)
    return png(path.read_bytes(), rows)


def shows(daemon, output, width, height, seen):
    wait_until(lambda: screenshot(daemon, output, ROWS) == (width, height, seen), 60, f"{output} shows what was drawn on it")


# ---- every cold model ----

def check_cards(daemon):
    listed = daemon.guest("vm", "lspci", "-n")
    for name, (_, pci_id, number, megabytes) in CARDS.items():
        row = device(daemon, name)
        assert (row["state"], row["live"]) == ("attached", False), row
        if pci_id:
            assert re.search(rf"^{row['address'][5:]} 0(300|380): {pci_id}", listed, re.MULTILINE), f"{name}\n{listed}"
        if number is not None:
            assert window(daemon, row["address"], number) == megabytes, daemon.guest("vm", "cat", f"/sys/bus/pci/devices/{row['address']}/resource")
    says(daemon, "video0", "=1600x900")
    says(daemon, "video2", "=1024x600")
    says(daemon, "video3", "cirrus")
    says(daemon, "video8", "=800x600")
    says(daemon, "video6", "etc/ramfb")
    says(daemon, "video7", "vga+")
    assert "qxl: 64M of VRAM" in daemon.guest("vm", "dmesg")


def check_viewers(daemon, seen):
    with viewers_port(daemon, "vm", "--output", "video2") as port:
        one, other = Viewer(port), Viewer(port)
        assert (one.width, one.height) == (1024, 600)
        assert one.picture(ROWS) == seen
        one.close()
        assert other.picture(ROWS) == seen, "one viewer's end is not the other's"
        other.close()
        assert not others_are_served(port)


def others_are_served(port):
    """Whether somebody else on this machine, who cannot reach the daemon either, is shown the screen."""
    if os.getuid() != 0:
        return False
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.settimeout(30)
            try:
                os._exit(1 if stranger.recv(1) else 0)
            except OSError:
                os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def check_refusals(daemon):
    assert "has no screen called nic7" in daemon.refused(3, "screenshot", "vm", "-", "--output", "nic7")
    assert "has no screen called nic0" in daemon.refused(3, "vnc", "vm", "--output", "nic0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        daemon.refused(4, "vnc", "vm", "--port", str(taken.getsockname()[1]))
    assert "ati-vga" in daemon.refused(1, "suspend", "vm"), "its state would be lost"
    target = daemon.folder / "old.png"
    target.write_text("old")
    assert daemon.run("screenshot", "vm", target, "--output", "video99").returncode == 3
    assert target.read_text() == "old", "a picture that is not made leaves the file alone"


@limit(400)
def test_every_cold_card_is_in_the_guest_and_shows_what_it_draws():
    with Daemon(images=("tiny-full",)) as daemon:
        cards = [f"{name}.{word}" for name, (words, *_) in CARDS.items() for word in words.split()]
        daemon.create("vm", "memory.size=320M", *cards, image="tiny-full", timeout=300)
        check_cards(daemon)
        seen = draw(daemon, device(daemon, "video2")["address"], 1024)
        shows(daemon, "video2", 1024, 600, seen)
        daemon.hostler("pause", "vm")
        shows(daemon, "video2", 1024, 600, seen)
        check_viewers(daemon, seen)
        daemon.hostler("resume", "vm")
        for name in CARDS:
            width, height, _ = screenshot(daemon, name)
            assert width >= 640 and height >= 400, name
        check_refusals(daemon)
        sockets = [path for path in daemon.state.rglob("vnc.*") if stat.S_ISSOCK(path.lstat().st_mode)]
        assert len(sockets) == len(CARDS) and not any(path.parent.stat().st_mode & 0o077 for path in sockets)


# ---- screens that come and go ----

def edid_size(daemon, connector):
    """What the monitor prefers, by its own description: the first detailed timing (EDID 1.4, 3.10.2)."""
    text = daemon.guest("vm", "sh", "-c", f"hexdump -v -e '1/1 \"%02x\"' /sys/class/drm/card*-{connector}/edid")
    timing = bytes.fromhex(text)[54:72]
    return timing[2] | (timing[4] & 0xf0) << 4, timing[5] | (timing[7] & 0xf0) << 4


def plug(daemon, *words):
    """Adds an output live; returns its name."""
    added = daemon.json("device", "add", "vm", "output", *words)
    assert [row["state"] for row in added] == ["attached"], added
    return added[0]["name"]


def check_heads(daemon):
    """Monitors on the heads of a card: plugged, told another size, unplugged, under the guest's eyes."""
    head = plug(daemon, "--model", "head", "resolution=800x600")
    connector = says(daemon, head, " connected 800x600").split()[0]
    assert device(daemon, head)["place"] == "video0 1"
    change = daemon.json("device", "set", "vm", head, "resolution=320x200")[0]
    assert (change["state"], change["device"]) == ("applied", "320x200"), change
    wait_until(lambda: edid_size(daemon, connector) == (320, 200), 60, "the monitor says what it prefers now")
    daemon.hostler("set", "vm", f"{head}.resolution=1024x600", "video0.resolution=800x600")
    says(daemon, head, "connected 1024x600")
    says(daemon, "video0", "=800x600")
    wait_until(lambda: screenshot(daemon, head)[:2] == (1024, 600), 60, "the head is as large as it was told to be")
    with viewers_port(daemon, "vm", "--output", head) as port:
        viewer = Viewer(port)
        assert (viewer.width, viewer.height) == (1024, 600)
        viewer.close()
    gone = plug(daemon, "--model", "head")
    connector = says(daemon, gone, " connected").split()[0]
    assert "the 2 places on video0 are taken" in daemon.refused(2, "device", "add", "vm", "output", "--model", "head")
    daemon.hostler("device", "rm", "vm", gone)
    wait_until(lambda: daemon.guest("vm", "sh", "-c", f"cat /sys/class/drm/card*-{connector}/status") == "disconnected", 60)
    return head


def check_own_card(daemon):
    """A screen with a card of its own: plugged with memory of its own, drawn on, looked at."""
    output = plug(daemon, "memory=32M", "resolution=1024x768")
    says(daemon, output, "bochs-drm 32768k Virtual-")
    assert says(daemon, output, "=1024x768")
    address = device(daemon, output)["address"]
    assert window(daemon, address, 0) == 32
    seen = draw(daemon, address, 1024)
    shows(daemon, output, 1024, 768, seen)
    assert "from its next start on" in daemon.refused(4, "vnc", "vm", "--output", output)
    change = daemon.json("set", "vm", f"{output}.resolution=800x600")[0]
    assert change["state"] == "pending", change
    daemon.hostler("set", "vm", f"{output}.resolution=1024x768")
    # More than its port has room for.
    waits = daemon.json("device", "add", "vm", "output", "memory=64M")[0]
    assert (waits["state"], waits["live"]) == ("pending", True), waits
    daemon.hostler("device", "rm", "vm", waits["name"])
    return output, seen


def check_saved(daemon, head, output, seen):
    """All of it is there again after the VM was on disk, and now viewers are shown the screen that came live."""
    daemon.hostler("suspend", "vm")
    daemon.hostler("resume", "vm")
    wait_until(lambda: says(daemon, head, "connected 1024x600"), 60)
    shows(daemon, output, 1024, 768, seen)
    with viewers_port(daemon, "vm", "--output", output) as port:
        viewer = Viewer(port)
        assert viewer.picture(ROWS) == seen
        viewer.close()


def check_removal(daemon, output):
    """QEMU keeps the memory of a display: it must not come back to the same port, and the VM cannot be saved."""
    row = device(daemon, output)
    for _ in range(2):
        daemon.hostler("device", "rm", "vm", output)
        assert device(daemon, output) is None
        assert daemon.guest("vm", "sh", "-c", f"[ -e /sys/bus/pci/devices/{row['address']} ] || echo gone") == "gone"
        assert output in daemon.refused(1, "suspend", "vm")
        assert plug(daemon, "--model", row["model"]) == output
        again = device(daemon, output)
        assert again["place"] != row["place"], "QEMU would end"
        says(daemon, output, "bochs-drm 16384k")
        row = again
    assert daemon.power("vm") == "running"


@limit(400)
def test_screens_come_and_go_while_the_guest_runs():
    with Daemon(images=("tiny-full",)) as daemon:
        daemon.create("vm", "memory.size=256M", "video0.heads=3", "video0.resolution=1280x720", image="tiny-full", timeout=300)
        says(daemon, "video0", "=1280x720")
        head = check_heads(daemon)
        output, seen = check_own_card(daemon)
        check_saved(daemon, head, output, seen)
        check_removal(daemon, output)
        waiting = daemon.json("device", "add", "vm", "video", "--model", "cirrus-vga")[0]
        assert (waiting["state"], waiting["live"]) == ("pending", False), waiting
        daemon.hostler("stop", "--hard", "vm")
        daemon.hostler("start", "vm", "--wait", "agent", timeout=300)
        says(daemon, waiting["name"], "cirrus")
        says(daemon, head, "connected 1024x600")


# ---- without a guest ----

def test_a_card_whose_module_is_missing_is_refused_with_its_package():
    with Daemon(images=(), start=False) as daemon:
        qemu = daemon.folder / "qemu"
        qemu.write_text('#!/bin/sh\ncase "$*" in *qxl-vga,help*) echo "Device \'qxl-vga\' not found" >&2; exit 1;; esac\nexec qemu-system-x86_64 "$@"\n')
        qemu.chmod(0o755)
        daemon.environment["HOSTLER_QEMU"] = str(qemu)
        daemon.start()
        assert "qemu-system-common" in daemon.refused(2, "create", "a", "disk0.size=8M", "video0.model=qxl-vga")
        daemon.hostler("create", "a", "disk0.size=8M", "video0.model=virtio-vga")
        assert "shows nothing" in daemon.refused(4, "screenshot", "a", "-")
