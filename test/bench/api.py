"""Hostler's API over its Unix socket, on one connection that stays open: what a platform's own code would do."""
import http.client
import json
import socket


class Api(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def call(self, method, path, body=None):
        """The answer's JSON; anything but success is an exception with the problem document."""
        self.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        answer = self.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {data.decode()}")
        return json.loads(data) if data else None

    def job(self, method, path, body=None):
        """Starts a job and waits for its end, which must be a good one."""
        job = self.call(method, path, body)
        while job["state"] in ("queued", "running"):
            job = self.call("GET", f"/v1/jobs/{job['id']}?wait=30s")
        if job["state"] != "done":
            raise RuntimeError(f"{method} {path}: {json.dumps(job)}")
        return job
