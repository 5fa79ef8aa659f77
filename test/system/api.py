"""Hostler's API over its Unix socket, on one connection that stays open: what a platform's own code would do."""
import http.client
import json
import socket
import time

ENDED = ("done", "failed", "cancelled")


class Problem(RuntimeError):
    """An answer that is no success; `code` and `body` as in the problem document."""

    def __init__(self, method, path, status, text):
        super().__init__(f"{method} {path}: {status} {text}")
        self.status = status
        self.body = json.loads(text) if text.startswith("{") else {}
        self.code = self.body.get("code")


class Api(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def call(self, method, path, body=None, headers=None):
        """The answer's JSON; anything but success is a Problem. A broken connection is made anew by the next call."""
        try:
            self.request(method, path, json.dumps(body) if body is not None else None,
                         {"Content-Type": "application/json"} | (headers or {}))
            answer = self.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if answer.status >= 300:
            raise Problem(method, path, answer.status, data.decode())
        return json.loads(data) if data else None

    def wait_job(self, job):
        """The job as it is once it has ended, however that was."""
        while job["state"] not in ENDED:
            job = self.call("GET", f"/v1/jobs/{job['id']}?wait=30s")
        return job

    def job(self, method, path, body=None, headers=None):
        """Starts a job and waits for its end, which must be a good one."""
        job = self.wait_job(self.call(method, path, body, headers))
        if job["state"] != "done":
            raise RuntimeError(f"{method} {path}: {json.dumps(job)}")
        return job

    def settle(self, timeout=60):
        """Waits until no job is queued or running; all jobs, newest first."""
        end = time.monotonic() + timeout
        while True:
            jobs = self.call("GET", "/v1/jobs?limit=1000")
            jobs = jobs["items"] if isinstance(jobs, dict) else jobs
            open_jobs = [job for job in jobs if job["state"] not in ENDED]
            if not open_jobs:
                return jobs
            if time.monotonic() > end:
                raise AssertionError(f"jobs that do not end: {json.dumps(open_jobs)}")
            time.sleep(0.02)
