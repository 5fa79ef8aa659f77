"""Serial and parallel ports and printers: bytes pass between the guest and each kind of end on the host, and ports come and go."""
import base64
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tty

from api import Api, Problem
from harness import limit, skip, wait_until

COLD = {"serial0": "backend=socket", "serial1": "backend=pty", "bounded": "kind=serial model=virtserialport backend=log limit=16k",
        "lpt0": "", "lpt1": "backend=ring memory=4k", "parallel0": "backend=socket"}
# A program as people write them for ppdev: claims the port, and puts out each byte of its argument with a strobe.
PPDEV = r"""
#include <fcntl.h>
#include <linux/parport.h>
#include <linux/ppdev.h>
#include <stdio.h>
#include <sys/ioctl.h>
int main(int argc, char **argv)
{
        int port = open(argv[1], O_RDWR);
        unsigned char strobe = PARPORT_CONTROL_SELECT | PARPORT_CONTROL_INIT | PARPORT_CONTROL_STROBE, idle = strobe & ~PARPORT_CONTROL_STROBE;
        if (port < 0 || ioctl(port, PPCLAIM) < 0)
                return perror(argv[1]), 1;
        ioctl(port, PPWCONTROL, &idle);
        for (const char *byte = argv[2]; *byte; byte++)
                if (ioctl(port, PPWDATA, byte) < 0 || ioctl(port, PPWCONTROL, &strobe) < 0 || ioctl(port, PPWCONTROL, &idle) < 0)
                        return perror("write"), 1;
        return ioctl(port, PPRELEASE) < 0;
}
"""


def device(daemon, name):
    return next((row for row in daemon.json("device", "ls", "vm") if row["name"] == name), None)


def known(daemon, name):
    """Its row of `device ls` as soon as the guest says something of it."""
    return wait_until(lambda: (row := device(daemon, name)) and row.get("guest") and row, 60, f"the guest knows {name}")


def node(daemon, name):
    """Its file in the guest's /dev."""
    row = known(daemon, name)
    return "/dev/hvc0" if row["model"] == "virtconsole" else "/dev/" + row["guest"].split()[0]


def add(daemon, kind, name, *words):
    daemon.hostler("device", "add", "vm", kind, name, *words)
    row = known(daemon, name)
    assert row["live"] and row["state"] == "attached", row
    return row


def remove(daemon, name):
    row = device(daemon, name)
    # Of the others Linux always has some, used or not.
    path = f"/sys/bus/pci/devices/{row['address']}" if "address" in row else node(daemon, name)
    daemon.hostler("device", "rm", "vm", name)
    assert device(daemon, name) is None
    if path != "/dev/hvc0":
        wait_until(lambda: daemon.run("exec", "vm", "--", "test", "-e", path).returncode != 0, 30, f"{path} is gone")


def read(daemon, name):
    return daemon.hostler("device", "read", "vm", name)


# ---- both ways ----

@contextlib.contextmanager
def opened(row):
    """The host's end: functions that send and receive bytes."""
    if not row["host"].endswith(".sock"):
        fd = os.open(row["host"], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(fd)
        yield lambda data: os.write(fd, data), lambda: os.read(fd, 65536)
        os.close(fd)
        return
    with socket.socket(socket.AF_UNIX) as client:
        folder = os.open(pathlib.Path(row["host"]).parent, os.O_PATH)
        client.connect(f"/proc/self/fd/{folder}/{pathlib.Path(row['host']).name}")  # the name may be longer than a socket's may
        os.close(folder)
        client.setblocking(False)
        yield client.send, lambda: client.recv(65536)


def hears(receive, expected, what):
    """Bytes that come until @expected is among them."""
    heard = bytearray()

    def more():
        with contextlib.suppress(BlockingIOError):
            heard.extend(receive())
        return expected in heard
    wait_until(more, 60, lambda: f"{what}: {expected} in {bytes(heard)[-200:]}")
    return bytes(heard)


# Opens $0 once (a virtio port takes one at a time), keeps what comes in /tmp/heard, and speaks when told.
SPEAKER = """stty -F $0 raw -echo 115200 2> /dev/null; rm -f /tmp/go /tmp/heard
(exec 3<> $0; cat <&3 > /tmp/heard & until [ -e /tmp/go ]; do usleep 50000; done; seq 1 500 >&3; wait) > /dev/null 2>&1 &"""


def both_ways(daemon, row, path):
    with opened(row) as (send, receive):
        daemon.guest("vm", "sh", "-c", SPEAKER, path)

        def arrives():
            send(b"from the host\n")  # again: what comes before the port is open is lost
            return "from the host\nfrom the host\n" in daemon.run("exec", "vm", "--", "cat", "/tmp/heard").stdout
        wait_until(arrives, 60, f"{path} hears the host")
        daemon.guest("vm", "touch", "/tmp/go")
        heard = hears(receive, b"\n500\n", path)
        assert b"".join(b"%d\n" % number for number in range(1, 501)) in heard, f"{path} lost something"
        daemon.guest("vm", "killall", "cat")
    assert row["host"] in daemon.refused(1, "device", "read", "vm", row["name"])


# ---- cold ----

def check_legacy(daemon):
    for name, path, place in (("serial0", "/dev/ttyS1", "isa-serial 1"), ("serial1", "/dev/ttyS2", "isa-serial 2")):
        row = known(daemon, name)
        assert (row["guest"], row["place"], row["live"]) == (path.removeprefix("/dev/"), place, False), row
        both_ways(daemon, row, path)
    assert device(daemon, "serial1")["host"].startswith("/dev/pts/")


def read_piece(daemon, **arguments):
    return Api(daemon.socket).call("POST", "/v1/vms/vm/devices/bounded/read", arguments)


def check_log(daemon):
    """However much the guest writes, there are the newest bytes, in two files that stay small."""
    row = known(daemon, "bounded")
    assert row["guest"].split()[1] == "bounded" and row["host"].endswith("/bounded.out") and not row["live"], row
    path = node(daemon, "bounded")
    assert read(daemon, "bounded") == ""
    daemon.guest("vm", "sh", "-c", f"seq 1 20000 > {path}")
    everything = "".join(f"{number}\n" for number in range(1, 20001))
    wait_until(lambda: read(daemon, "bounded").endswith("\n20000\n"), 30, "the log has the newest")
    text = read(daemon, "bounded")
    assert everything.endswith(text) and 8192 < len(text) <= 32768, len(text)
    sizes = [pathlib.Path(row["host"] + ending).stat().st_size for ending in ("", ".1")]
    assert max(sizes) <= 16384 and sum(sizes) == len(text), sizes
    piece = read_piece(daemon, offset=100, bytes=10)
    assert not piece["eof"] and base64.b64decode(piece["data"]).decode() == text[100:110], piece
    across = read_piece(daemon, offset=sizes[1] - 5, bytes=10, version=piece["version"])
    assert base64.b64decode(across["data"]).decode() == text[sizes[1] - 5:sizes[1] + 5], across
    for arguments in ({"version": "1"}, {"offset": len(text) + 1}):
        try:
            raise AssertionError(read_piece(daemon, **arguments))
        except Problem as problem:
            assert problem.status == 412, problem


def check_printer(daemon):
    row = known(daemon, "lpt0")
    assert row["place"] == "isa-parallel 0" and row["host"].endswith("/lpt0.out"), row
    daemon.guest("vm", "sh", "-c", f"printf 'a page\\f' > {node(daemon, 'lpt0')}")
    job = daemon.folder / "job.prn"
    wait_until(lambda: daemon.hostler("device", "read", "vm", "lpt0", "-w", job) == "" and job.read_bytes() == b"a page\f", 30, "the job is printed")


def check_ring(daemon):
    """The newest bytes, once."""
    assert device(daemon, "lpt1")["host"] == "ring"
    daemon.guest("vm", "sh", "-c", f"seq 1 3000 > {node(daemon, 'lpt1')}")
    everything = "".join(f"{number}\n" for number in range(1, 3001))
    assert read(daemon, "lpt1") == everything[-4096:]
    assert read(daemon, "lpt1") == ""


def check_ppdev(daemon):
    source, program = daemon.folder / "ppdev.c", daemon.folder / "ppdev"
    source.write_text(PPDEV)
    subprocess.run(["cc", "-static", "-o", program, source], check=True)
    row = known(daemon, "parallel0")
    assert row["guest"].startswith("parport") and row["place"] == "isa-parallel 2", row
    daemon.hostler("cp", program, "vm:/tmp/ppdev")
    daemon.guest("vm", "chmod", "755", "/tmp/ppdev")
    with opened(row) as (_, receive):
        daemon.guest("vm", "/tmp/ppdev", f"/dev/{row['guest']}", "by hand.")
        assert hears(receive, b"by hand.", "the port's socket") == b"by hand."


# ---- live ----

def check_live(daemon):
    row = add(daemon, "serial", "card", "model=pci-serial", "memory=1k")
    assert (row["guest"], row["host"]) == ("ttyS3", "ring") and row["address"], row
    daemon.guest("vm", "sh", "-c", "stty -F /dev/ttyS3 raw -echo; seq 1 1000 > /dev/ttyS3")
    everything = "".join(f"{number}\n" for number in range(1, 1001))
    assert read(daemon, "card") == everything[-1024:] and read(daemon, "card") == ""
    assert daemon.guest("vm", "sh", "-c", f"lspci -n -s {row['address']}").split()[2] == "1b36:0002"

    remove(daemon, "card")

    row = add(daemon, "serial", "dongle", "model=usb-serial", "backend=pty")
    assert row["guest"] == "ttyUSB0" and row["place"] == "usb0 1", row
    both_ways(daemon, row, "/dev/ttyUSB0")
    assert "usb-serial" in daemon.refused(1, "suspend", "vm")

    row = add(daemon, "serial", "channel", "model=virtserialport", "backend=socket", "label=com.example.data")
    assert row["guest"].endswith(" com.example.data"), row
    both_ways(daemon, row, node(daemon, "channel"))

    row = add(daemon, "serial", "nothing", "model=pci-serial", "backend=null")
    daemon.guest("vm", "sh", "-c", "stty -F /dev/ttyS3 raw -echo; seq 1 1000 > /dev/ttyS3")
    assert "nothing" in daemon.refused(1, "device", "read", "vm", "nothing") and "host" not in row
    for name in ("dongle", "channel", "nothing"):
        remove(daemon, name)
    assert not [path.name for path in daemon.state.glob("vms/*/run/channel*")]


def check_shell(daemon):
    """The image has a shell on its first virtio console."""
    row = add(daemon, "serial", "shell", "model=virtconsole", "backend=socket")
    with opened(row) as (send, receive):
        def answers():
            send(b"echo $((6 * 7)) hvc\n")
            with contextlib.suppress(BlockingIOError):
                return b"42 hvc" in receive()
        wait_until(answers, 60, "the shell on hvc0 answers")
    remove(daemon, "shell")


# ---- with the next start ----

def check_pending(daemon):
    for name, words in (("serial2", ("serial", "serial2", "memory=8k")), ("kept", ("serial", "kept", "model=pci-serial", "backend=log"))):
        row = next(row for row in daemon.json("device", "add", "vm", *words) if row["name"] == name)
        assert row["state"] == "pending" and not row["live"], row
        assert "next start" in daemon.refused(4, "device", "read", "vm", "serial2")
    daemon.hostler("device", "rm", "vm", "parallel0")
    assert device(daemon, "parallel0")["state"] == "going"
    assert {"serial2", "kept", "parallel0"} <= set(daemon.show("vm")["status"]["pending"])


def check_off(daemon):
    """What was kept outlives the run; a ring does not."""
    daemon.hostler("stop", "vm")
    assert read(daemon, "bounded").endswith("\n20000\n") and read(daemon, "lpt0") == "a page\f"
    daemon.refused(4, "device", "read", "vm", "lpt1")
    assert device(daemon, "lpt0")["state"] == "stored"


def check_started(daemon):
    daemon.hostler("start", "vm", "--wait", "agent", timeout=180)
    assert known(daemon, "serial2")["guest"] == "ttyS3" and device(daemon, "parallel0") is None
    daemon.guest("vm", "sh", "-c", "stty -F /dev/ttyS3 raw -echo; echo to COM4 > /dev/ttyS3")
    wait_until(lambda: read(daemon, "serial2") == "to COM4\n", 30, "COM4 puts it out")
    # Linux has room for four ports: the card is there, and its driver says that it found none for it.
    assert device(daemon, "kept")["state"] == "attached" and device(daemon, "kept")["address"]
    assert "parport2" not in daemon.guest("vm", "ls", "/dev")
    daemon.guest("vm", "sh", "-c", f"echo more > {node(daemon, 'bounded')}")
    wait_until(lambda: read(daemon, "bounded").endswith("\n20000\nmore\n"), 30, "the log goes on in the next run")


def check_refusals(daemon):
    assert "power of two" in daemon.refused(2, "device", "add", "vm", "serial", "memory=3000")
    assert "backend is socket" in daemon.refused(2, "device", "add", "vm", "serial", "backend=socket", "memory=4k")
    assert "3 places on isa-parallel" in daemon.refused(2, "device", "add", "vm", "lpt")
    assert "no device called" in daemon.refused(3, "device", "read", "vm", "serial9")
    assert "nic0" in daemon.refused(1, "device", "read", "vm", "nic0")


@limit(600)
def test_ports(daemon):
    if not shutil.which("cc"):
        skip("no C compiler for a program that drives a port")
    daemon.give_images(["tiny-full"])
    words = [f"{name}.{word}" for name, line in COLD.items() for word in (line or "model=isa-parallel").split()]
    daemon.create("vm", "--memory", "256M", *words, image="tiny-full")
    check_legacy(daemon)
    check_log(daemon)
    check_printer(daemon)
    check_ring(daemon)
    check_ppdev(daemon)
    check_live(daemon)
    check_shell(daemon)
    check_refusals(daemon)
    check_pending(daemon)
    check_off(daemon)
    check_started(daemon)
