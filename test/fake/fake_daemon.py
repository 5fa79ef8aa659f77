"""A scripted daemon for tests of the command line: HTTP on a Unix socket, answers given by a table of functions."""

import base64
import hashlib
import http.server
import json
import os
import re
import shutil
import socketserver
import struct
import tempfile
import threading
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "unix"

    def log_message(self, *arguments):
        pass

    def answer(self, value=None, status=200, text=None):
        body = (json.dumps(value) if text is None else text).encode() if status != 204 else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, code, status, detail, **more):
        self.answer({"type": "about:blank", "title": code, "code": code, "status": status, "detail": detail, **more}, status)

    def handle_any(self):
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query))
        length = int(self.headers.get("Content-Length", 0))
        self.sent = json.loads(self.rfile.read(length)) if length else {}
        self.server.requests.append((self.command, self.path, self.sent))
        for method, pattern, function in self.server.routes:
            match = re.fullmatch(pattern, url.path)
            if method == self.command and match:
                function(self, *match.groups())
                return
        self.refuse("not-found", 404, f"there is no {url.path}")

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any

    # ---- WebSocket (RFC 6455), as much as a console needs ----

    def upgrade(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True

    def send_frame(self, payload, opcode=2):
        header = bytes([0x80 | opcode, len(payload)]) if len(payload) < 126 else struct.pack("!BBH", 0x80 | opcode, 126, len(payload))
        self.wfile.write(header + payload)

    def send_close(self, code, reason):
        self.send_frame(struct.pack("!H", code) + reason.encode(), 8)

    def read_frame(self):
        """(opcode, payload) of one small frame; (8, b"") at the end."""
        head = self.rfile.read(2)
        if len(head) < 2:
            return 8, b""
        length = head[1] & 0x7F
        if length == 126:
            length = struct.unpack("!H", self.rfile.read(2))[0]
        mask = self.rfile.read(4)
        return head[0] & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(length)))


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        pass  # a client that went away is what some tests are about


class FakeDaemon:
    """With routes [(method, path pattern, function(handler, *groups))]; .requests is what came in."""

    def __init__(self, routes):
        self.folder = tempfile.mkdtemp(prefix="hostler-")
        self.socket = os.path.join(self.folder, "api.sock")
        self.server = Server(self.socket, Handler)
        self.server.routes = routes
        self.server.requests = []
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def requests(self):
        return self.server.requests

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.folder)
