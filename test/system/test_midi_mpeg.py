"""USB devices of our own in a guest with Debian's kernel: a MIDI port and a camera, live, both ways, through deaths of daemon and helper."""
import contextlib
import json
import os
import random
import signal
import socket
import struct
import time

from harness import Daemon, wait_until

VM = "web1"
NOTES = bytes.fromhex("903c7f 803c40 c005 e00040 b0077f")
EXCLUSIVE = bytes.fromhex("f07e7f090102030405f7 f8 f23412 f6")


# ---- what both need ----

def part_folder(daemon, part):
    return next(daemon.state.glob(f"vms/*/parts/{part}"))


def helper_pid(daemon, part):
    """Of the hostler-usb of a part; None while there is none."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        record = json.loads((part_folder(daemon, part) / "run" / "keeper.json").read_text())
        os.kill(record["qemu"]["pid"], 0)
        return record["qemu"]["pid"]


def usb_number(daemon, part):
    """The number that the guest gave the device: another one each time it is plugged in. Empty: it has none."""
    script = 'for d in /sys/bus/usb/devices/*; do [ "$(cat $d/serial 2>/dev/null)" = "$0" ] && cat $d/devnum; done; true'
    return daemon.guest(VM, "sh", "-c", script, part)


def guest_says(daemon, part):
    return {row["name"]: row.get("guest") for row in daemon.json("device", "ls", VM)}.get(part)


def wait_plugged(daemon, part, old=""):
    """Until the guest has found the device, and its driver has too; its new number."""
    wait_until(lambda: usb_number(daemon, part) not in ("", old) and (guest_says(daemon, part) or "").startswith("/dev/"), 60)
    return usb_number(daemon, part)


# ---- MIDI ----

class Cable:
    """The host's end of a MIDI port."""

    def __init__(self, daemon, part="midi0"):
        path = next(row.get("host") for row in daemon.json("device", "ls", VM) if row["name"] == part)
        folder = os.open(os.path.dirname(path), os.O_PATH)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        wait_until(lambda: self.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}"), 20, every=0.02)
        os.close(folder)

    def connect(self, path):
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            self.socket.connect(path)
            return True

    def receive(self, count):
        got = b""
        while len(got) < count:
            piece = self.socket.recv(count - len(got))
            assert piece, f"hung up after {got.hex()}"
            got += piece
        return got


def check_midi(daemon, cable):
    """Bytes reach the guest, and come from it, as they are."""
    port, message = guest_says(daemon, "midi0"), NOTES + EXCLUSIVE
    # Linux drops what comes before the first read(), so single bytes are sent until one is seen.
    reader = daemon.guest(VM, "sh", "-c", 'cat "$0" > /tmp/in 2> /dev/null < /dev/null & echo $!', port)

    def come():
        return bytes.fromhex(daemon.guest(VM, "sh", "-c", 'od -An -v -tx1 /tmp/in | tr -d " \\n"'))
    wait_until(lambda: cable.socket.send(b"\xfe") and come(), 20)
    cable.socket.sendall(message)
    wait_until(lambda: come().lstrip(b"\xfe") == message, 20, f"the guest reads {message.hex()}")
    daemon.guest(VM, "kill", reader)
    daemon.guest(VM, "sh", "-c", 'printf "$1" > "$0"', port, "".join(f"\\{byte:03o}" for byte in message))
    assert cable.receive(len(message)) == message


def filled(cable):
    """How many bytes can be sent while the guest takes none."""
    total, idle_since = 0, time.monotonic()
    cable.setblocking(False)
    while time.monotonic() < idle_since + 2:
        try:
            total += cable.send(b"\xfe" * 4096)
            idle_since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.05)
    return total


def check_midi_memory(daemon):
    """The property is the queue: what it gets bigger by is what can be sent more."""
    total = {}
    for memory in (4096, 4 << 20):
        row = {row["property"]: row for row in daemon.json("set", VM, f"midi0.memory={memory}")}["midi0.memory"]
        assert row["state"] == "applied", row
        with contextlib.closing(Cable(daemon).socket) as cable:
            total[memory] = filled(cable)
    assert abs((total[4 << 20] - total[4096]) - ((4 << 20) - 4096)) < 64 * 1024, total
    daemon.hostler("set", VM, "midi0.memory=64k")


# ---- the camera ----

def picture(number, width=320, height=240):
    """A JPEG picture as far as anybody here looks at it, of some tens of kilobytes, with a preview inside."""
    noise = random.Random(number)

    def segment(marker, data):
        return bytes([0xff, marker]) + struct.pack(">H", len(data) + 2) + data
    data = noise.randbytes(3000 + 7001 * (number % 7)).replace(b"\xff", b"\xff\x00")
    return (b"\xff\xd8" + segment(0xe0, b"JFIF\0\1\1\0\0\1\0\1\0\0") + segment(0xe1, b"\xff\xd8\xff\xd9") + segment(0xdb, bytes(65))
            + segment(0xc0, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0") + segment(0xda, b"\1\1\0\0\x3f\0") + data + b"\xff\xd9")


def avi(frames):
    def chunk(name, data):
        return name + struct.pack("<I", len(data)) + data + bytes(len(data) & 1)
    movie = b"movi" + b"".join(chunk(b"00dc", frame) + chunk(b"01wb", b"sound") for frame in frames)
    header = b"hdrl" + chunk(b"avih", struct.pack("<14I", 200000, *[0] * 13))
    return chunk(b"RIFF", b"AVI " + chunk(b"LIST", header) + chunk(b"LIST", movie) + chunk(b"idx1", bytes(64)))


def captured(daemon, count, *options):
    """The bytes of @count frames that a program in the guest gets from the camera."""
    device, here = guest_says(daemon, "mpeg0"), daemon.folder / "captured"
    daemon.guest(VM, "v4l2-ctl", "-d", device, *options, "--stream-mmap", f"--stream-count={count}", "--stream-to=/tmp/captured")
    daemon.hostler("cp", f"{VM}:/tmp/captured", here)
    return here.read_bytes()


def check_frames(got, frames, count):
    """@got is @count of @frames byte for byte, in their order, round and round."""
    first = next(i for i, frame in enumerate(frames) if got.startswith(frame))
    assert got == b"".join(frames[(first + i) % len(frames)] for i in range(count)), f"{len(got)} bytes from frame {first} on"


def check_fifo(daemon, path, frames):
    """What a writer puts into the FIFO is what comes out, from its first frame on; two writers, one after the other."""
    os.mkfifo(path)
    old = usb_number(daemon, "mpeg0")
    daemon.hostler("set", VM, f"mpeg0.source={path}")
    for turn in range(2):
        writer = os.fork()
        if writer == 0:
            with open(path, "wb") as fifo:
                fifo.write(b"".join(frames))
            os._exit(0)
        if turn == 0:
            wait_plugged(daemon, "mpeg0", old)
        assert captured(daemon, len(frames), "--set-parm=5") == b"".join(frames)
        assert os.waitpid(writer, 0)[1] == 0


def check_camera_memory(daemon, source, frames):
    """The property is what the guest is told of the largest picture; larger ones are left out."""
    large = b"".join([frames[0][:-2], bytes(200_000), b"\xff\xd9"])
    source.write_bytes(b"".join([frames[0], large, frames[1]]))
    old = usb_number(daemon, "mpeg0")
    daemon.hostler("set", VM, f"mpeg0.source={source}", "mpeg0.memory=128k")
    wait_plugged(daemon, "mpeg0", old)
    assert "131072" in daemon.guest(VM, "sh", "-c", "v4l2-ctl -d $0 --get-fmt-video | grep 'Size Image'", guest_says(daemon, "mpeg0"))
    check_frames(captured(daemon, 4), frames[:2], 4)
    assert "left out" in (part_folder(daemon, "mpeg0") / "qemu.log").read_text()


# ---- the test ----

def kill_helper(daemon, part):
    """With nobody there but its keeper, it is plugged in again."""
    pid, old = helper_pid(daemon, part), usb_number(daemon, part)
    daemon.kill()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: helper_pid(daemon, part) not in (None, pid), 20)
    come_back(daemon)
    wait_plugged(daemon, part, old)


def come_back(daemon):
    """A daemon that has died is there again, and has done what the last one began."""
    daemon.start()
    wait_until(lambda: all(job["state"] not in ("queued", "running") for job in daemon.json("job", "ls")), 60)
    daemon.hostler("wait", VM, "agent")


def die_at(daemon, step, *command):
    """Has the daemon killed in the middle of @command, right after it has written down that it begins with @step."""
    daemon.stop()
    daemon.start(environment={"HOSTLER_CRASH_AT": step})
    daemon.hostler("wait", VM, "agent")
    assert daemon.run(*command).returncode != 0
    daemon.process.wait(60)
    come_back(daemon)


def check_logs(daemon):
    for log in daemon.state.glob("vms/*/parts/*/qemu.log"):
        text = log.read_text(errors="replace")
        assert "Sanitizer" not in text and "runtime error" not in text, text


def check_orphans(daemon):
    """With QEMU dead and no daemon that could end them, the helpers end by themselves."""
    qemu = daemon.show(VM)["status"]["pid"]
    pids = [helper_pid(daemon, part) for part in ("midi0", "mpeg0")]
    assert all(pids)
    daemon.kill()
    os.kill(qemu, signal.SIGKILL)
    wait_until(lambda: not daemon.processes() and not any(os.path.exists(f"/proc/{pid}") for pid in pids), 30, "helpers and keepers have ended")
    daemon.start()
    assert daemon.power(VM) == "crashed"


def test_midi_and_camera_live_in_a_running_guest():
    with Daemon(images=("tiny-full",)) as daemon:
        daemon.create(VM, "memory.size=512M", image="tiny-full", timeout=300)
        run_midi(daemon)
        run_camera(daemon)
        run_ends(daemon)
        check_orphans(daemon)
        check_logs(daemon)


def run_midi(daemon):
    daemon.hostler("device", "add", VM, "midi")
    wait_plugged(daemon, "midi0")
    cable = Cable(daemon)
    check_midi(daemon, cable)
    second = Cable(daemon)
    assert second.socket.recv(1) == b"", "a cable has one plug"
    daemon.stop()
    come_back(daemon)
    check_midi(daemon, cable)
    kill_helper(daemon, "midi0")
    check_midi(daemon, Cable(daemon))
    check_midi_memory(daemon)


def run_camera(daemon):
    frames = [picture(number) for number in range(7)]
    source, fifo = daemon.folder / "source", daemon.folder / "fifo"
    assert "no-such-file" in daemon.refused(3, "device", "add", VM, "mpeg", f"source={daemon.folder}/no-such-file")
    source.write_bytes(b"junk" + b"".join(frames))
    die_at(daemon, "device.add:change", "device", "add", VM, "mpeg", f"source={source}")
    wait_plugged(daemon, "mpeg0")
    check_frames(captured(daemon, 16, "--set-parm=10"), frames, 16)
    kill_helper(daemon, "mpeg0")
    check_frames(captured(daemon, 3), frames, 3)
    check_fifo(daemon, fifo, frames)
    check_camera_memory(daemon, source, frames)


def run_ends(daemon):
    """Saved to disk and back; removed, and added again; and nothing is left of either with the VM off."""
    source = daemon.folder / "source"
    frames = [picture(number) for number in range(7)]
    source.write_bytes(avi(frames))
    daemon.hostler("suspend", VM, timeout=300)
    assert not helper_pid(daemon, "midi0") and not helper_pid(daemon, "mpeg0")
    daemon.hostler("resume", VM, timeout=300)
    wait_plugged(daemon, "midi0")
    wait_plugged(daemon, "mpeg0")
    check_midi(daemon, Cable(daemon))
    check_frames(captured(daemon, 3), frames, 3)
    pids = [helper_pid(daemon, part) for part in ("midi0", "mpeg0")]
    daemon.hostler("device", "rm", VM, "midi0")
    die_at(daemon, "device.rm:change", "device", "rm", VM, "mpeg0")
    for part in ("midi0", "mpeg0"):
        assert usb_number(daemon, part) == "" and not helper_pid(daemon, part)
    assert all(pids) and not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    daemon.hostler("device", "add", VM, "midi")
    daemon.hostler("device", "add", VM, "mpeg", f"source={source}")
    wait_plugged(daemon, "midi0")
    wait_plugged(daemon, "mpeg0")
    check_midi(daemon, Cable(daemon))
    check_frames(captured(daemon, 3), frames, 3)
