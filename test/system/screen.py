"""What the tests of screens look with: a PNG reader (RFC 2083) and a VNC viewer (RFC 6143), as small as they may be."""
import contextlib
import signal
import socket
import struct
import subprocess
import zlib

from harness import BUILD, SLOWNESS

EXTENDED_DESKTOP_SIZE = -308


def chunks(data):
    at = 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        yield kind, data[at + 8:at + 8 + length]
        at += 12 + length


def paeth(left, above, corner):
    guess = left + above - corner
    return min((abs(guess - left), 0, left), (abs(guess - above), 1, above), (abs(guess - corner), 2, corner))[2]


def unfilter(kind, line, above):
    for i, byte in enumerate(line):
        left, corner = (line[i - 3], above[i - 3]) if i >= 3 else (0, 0)
        line[i] = (byte + (0, left, above[i], (left + above[i]) // 2, paeth(left, above[i], corner))[kind]) & 255
    return line


def png(data, rows):
    """(width, height, the first @rows as bytes R, G, B, …) of an 8-bit RGB picture."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:16]
    parts = list(chunks(data))
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", parts[0][1])
    assert (depth, colour, interlaced) == (8, 2, 0)
    raw = zlib.decompress(b"".join(body for kind, body in parts if kind == b"IDAT"))
    assert len(raw) == height * (1 + width * 3)
    lines, above = [], bytes(width * 3)
    for row in range(rows):
        at = row * (1 + width * 3)
        above = unfilter(raw[at], bytearray(raw[at + 1:at + 1 + width * 3]), above)
        lines.append(bytes(above))
    return width, height, b"".join(lines)


class Viewer:
    """A VNC viewer on a port of 127.0.0.1, 32 bits a pixel. `width` and `height` follow the screen's."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30 * SLOWNESS)
        assert self.read(12) == b"RFB 003.008\n"
        self.socket.sendall(b"RFB 003.008\n")
        assert 1 in self.read(self.read(1)[0])
        self.socket.sendall(b"\1")
        assert self.read(4) == bytes(4)
        self.socket.sendall(b"\1")
        self.width, self.height = struct.unpack(">HH", self.read(4))
        self.read(16)
        self.name = self.read(struct.unpack(">I", self.read(4))[0]).decode()
        self.socket.sendall(b"\0\0\0\0" + struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        self.socket.sendall(struct.pack(">BxHii", 2, 2, 0, EXTENDED_DESKTOP_SIZE))

    def read(self, length):
        data = b""
        while len(data) < length:
            piece = self.socket.recv(length - len(data))
            assert piece, f"the viewer was hung up on after {len(data)} of {length} bytes"
            data += piece
        return data

    def close(self):
        self.socket.close()

    def rectangles(self):
        """The next update: (x, y, width, height, pixels B, G, R, 0, …) of each rectangle of picture."""
        kind = self.read(1)[0]
        assert kind == 0, kind
        for _ in range(struct.unpack(">xH", self.read(3))[0]):
            x, y, width, height, encoding = struct.unpack(">HHHHi", self.read(12))
            if encoding == EXTENDED_DESKTOP_SIZE:
                self.read(16 * self.read(4)[0])
                self.width, self.height = width, height
            else:
                assert encoding == 0, encoding
                yield x, y, width, height, self.read(width * height * 4)

    def picture(self, rows):
        """The first @rows of the whole screen, as bytes R, G, B, …"""
        self.socket.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, 65535, 65535))
        lines = {}
        while len(lines) < rows or any(len(line) < self.width * 3 for line in lines.values()):
            for x, y, width, height, pixels in self.rectangles():
                for row in range(min(height, max(0, rows - y))):
                    line = pixels[row * width * 4:(row + 1) * width * 4]
                    colours = bytearray(width * 3)
                    colours[0::3], colours[1::3], colours[2::3] = line[2::4], line[1::4], line[0::4]
                    before = lines.get(y + row, b"")
                    lines[y + row] = before[:x * 3] + bytes(colours) + before[(x + width) * 3:]
        return b"".join(lines[row] for row in range(rows))


@contextlib.contextmanager
def viewers_port(daemon, vm, *arguments):
    """`hostler vnc` as long as the block runs: the port it listens on."""
    process = subprocess.Popen([BUILD / "hostler", "vnc", vm, *arguments], env=daemon.environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline()
        assert address.startswith("vnc://127.0.0.1:"), address + (process.stderr.read() if not address else "")
        yield int(address.rsplit(":", 1)[1])
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20 * SLOWNESS)
    assert process.returncode == 0, f"{process.returncode}: {out}{err}"
