"""What the tests of sound listen with: as much of a SPICE client as it takes to hear a guest (the SPICE protocol 2.2, as its protocol description has it)."""
import hashlib
import os
import pathlib
import socket
import struct

CHANNEL_MAIN, CHANNEL_PLAYBACK = 1, 5
MINI_HEADER = 1 << 3
KEY_BYTES, KEY_AT, TICKET_BYTES = 162, 29, 128
SET_ACK, PING, ACK_SYNC, ACK, PONG = 3, 4, 1, 2, 3
MAIN_INIT, PLAYBACK_DATA, PLAYBACK_START = 103, 101, 103
RATE = 48000


def mask(seed, length):
    return b"".join(hashlib.sha1(seed + struct.pack(">I", number)).digest() for number in range(length // 20 + 1))[:length]


def xor(left, right):
    return bytes(a ^ b for a, b in zip(left, right))


def ticket(key):
    """An empty password for an RSA key of 1024 bits (RFC 8017, 7.1: OAEP with SHA-1); the modulus begins where it does in every such key."""
    modulus, digest = int.from_bytes(key[KEY_AT:KEY_AT + TICKET_BYTES], "big"), hashlib.sha1().digest()
    block = digest + bytes(TICKET_BYTES - 21 - len(digest) - 2) + b"\1\0"
    seed = os.urandom(20)
    block = xor(block, mask(seed, len(block)))
    padded = b"\0" + xor(seed, mask(block, 20)) + block
    return pow(int.from_bytes(padded, "big"), 65537, modulus).to_bytes(TICKET_BYTES, "big")


class Channel:
    """One connection; messages with the small header."""

    def __init__(self, path, kind, session=0):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        folder = os.open(pathlib.Path(path).parent, os.O_PATH)
        self.socket.connect(f"/proc/self/fd/{folder}/{pathlib.Path(path).name}")
        os.close(folder)
        body = struct.pack("<IBBIIII", session, kind, 0, 1, 0, 18, MINI_HEADER)
        self.socket.sendall(b"REDQ" + struct.pack("<III", 2, 2, len(body)) + body)
        magic, _, _, size = struct.unpack("<4sIII", self.read(16))
        reply = self.read(size)
        assert magic == b"REDQ" and reply[:4] == bytes(4), reply[:4]
        self.socket.sendall(ticket(reply[4:4 + KEY_BYTES]))
        assert self.read(4) == bytes(4), "the server lets us in"
        self.window = self.until_ack = 0

    def read(self, length):
        data = b""
        while len(data) < length:
            piece = self.socket.recv(length - len(data))
            assert piece, "the server hung up"
            data += piece
        return data

    def send(self, kind, body=b""):
        self.socket.sendall(struct.pack("<HI", kind, len(body)) + body)

    def message(self):
        """(type, body) of the next message of the channel's own; what every channel has is answered here."""
        while True:
            kind, size = struct.unpack("<HI", self.read(6))
            body = self.read(size)
            if self.window:
                self.until_ack -= 1
                if self.until_ack == 0:
                    self.send(ACK)
                    self.until_ack = self.window
            if kind == SET_ACK:
                generation, self.window = struct.unpack("<II", body)
                self.until_ack = self.window
                self.send(ACK_SYNC, struct.pack("<I", generation))
            elif kind == PING:
                self.send(PONG, body[:12])
            else:
                return kind, body


class Listener:
    """Hears what the guest plays; `samples` are the left channel's."""

    def __init__(self, path):
        self.main = Channel(path, CHANNEL_MAIN)
        kind, body = self.main.message()
        while kind != MAIN_INIT:
            kind, body = self.main.message()
        self.playback = Channel(path, CHANNEL_PLAYBACK, struct.unpack("<I", body[:4])[0])

    def listen(self, enough):
        """Samples until there are @enough of a sound, which may begin a while from now."""
        samples = []
        while len(samples) < enough:
            kind, body = self.playback.message()
            if kind == PLAYBACK_START:
                channels, _, rate = struct.unpack("<IHI", body[:10])
                assert (channels, rate) == (2, RATE), (channels, rate)
            elif kind == PLAYBACK_DATA:
                samples += [left for left, _ in struct.iter_unpack("<hh", body[4:])]
        return samples

    def close(self):
        self.main.socket.close()
        self.playback.socket.close()
