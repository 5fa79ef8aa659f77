#!/usr/bin/env python3
"""The command line as a process, against a scripted daemon: what it prints, how it ends, what it leaves of the terminal."""

import base64
import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
import unittest

from fake_daemon import FakeDaemon

GOLDEN_HELP = pathlib.Path(__file__).resolve().parents[1] / "golden" / "help.txt"
HOSTLER = os.environ.get("HOSTLER", "build/hostler")
VM = {"id": "1", "name": "web1", "generation": 1, "spec": {"cpu": {"kind": "cpu", "count": 2}, "memory": {"kind": "memory", "size": 1 << 30}},
      "status": {"power": "running", "accel": "tcg", "phase": "ip", "addresses": [{"address": "10.0.2.15"}]}}


def job(state="running", **more):
    return {"id": "j1", "verb": "vm.start", "object": "vm/web1", "state": state, **more}


def jobs_ending(state, after=0, **more):
    """A route for `job show` that says running @after times, then ends."""
    seen = []

    def show(handler, _name):
        seen.append(1)
        if len(seen) <= after:
            time.sleep(min(float(handler.query.get("wait", "0ms")[:-2]), 1000) / 1000)
            handler.answer(job(message="create disk"))
        else:
            handler.answer(job(state, **more))
    return "GET", r"/v1/jobs/(\w+)", show


ACCEPT = ("POST", r"/v1/vms/(\w+)/\w+", lambda handler, _vm: handler.answer(job("queued"), 202))


class Case(unittest.TestCase):
    daemon = None

    def serve(self, *routes):
        self.daemon = FakeDaemon(list(routes))
        self.addCleanup(self.daemon.close)

    def environment(self, **more):
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HOSTLER_", "XDG_"))}
        return kept | ({"HOSTLER_SOCKET": self.daemon.socket} if self.daemon else {}) | more

    def hostler(self, *words, stdin=b"", **more):
        return subprocess.run([HOSTLER, *words], input=stdin, capture_output=True, timeout=30, env=self.environment(**more))

    def start(self, *words):
        process = subprocess.Popen([HOSTLER, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=self.environment())
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def wait_for(self, condition, what):
        end = time.monotonic() + 10
        while not condition():
            self.assertLess(time.monotonic(), end, f"no {what} within ten seconds")
            time.sleep(0.01)


class Output(Case):
    def setUp(self):
        hostile = VM | {"name": "bad", "status": {"power": "off", "host_name": "\x1b]0;x\x07"}}
        self.serve(("GET", "/v1/vms", lambda handler: handler.answer([VM, hostile])),
                   ("GET", "/v1/vms/web1", lambda handler: handler.answer(VM)))

    def test_table(self):
        result = self.hostler("ls")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.decode().splitlines(),
                         ["NAME  POWER    ACCEL  CPUS  MEMORY  ADDRESS    SINCE", "web1  running  tcg    2     1G      10.0.2.15",
                          "bad   off             2     1G"])

    def test_json_is_what_came(self):
        self.assertEqual(json.loads(self.hostler("show", "web1", "-o", "json").stdout), VM)

    def test_names_and_columns(self):
        self.assertEqual(self.hostler("ls", "-o", "name").stdout, b"web1\nbad\n")
        self.assertEqual(self.hostler("ls", "--columns", "power,spec.cpu.count", "--no-headers").stdout, b"running  2\noff      2\n")

    def test_hostile_text_is_escaped(self):
        result = self.hostler("ls", "--columns", "name,status.host_name", "--no-headers")
        self.assertIn(b"\\x1b]0;x\\x07", result.stdout)
        self.assertNotIn(b"\x1b", result.stdout + self.hostler("ls", "-o", "json").stdout + self.hostler("ls", "-o", "yaml").stdout)

    def test_part(self):
        lines = self.hostler("show", "web1", "cpu").stdout.decode().splitlines()
        self.assertEqual(lines[1].split()[:4], ["count", "2", "1", "live"])
        result = self.hostler("show", "web1", "nic7")
        self.assertEqual(result.returncode, 3)
        self.assertIn(b"parts: cpu, memory", result.stderr)

    def test_show_names_everything(self):
        text = self.hostler("show", "web1").stdout.decode()
        for expected in ("web1", "running", "count=2", "size=1G", "address=10.0.2.15"):
            self.assertIn(expected, text)


class Help(Case):
    """Made of the declarations; compared so that a change of wording or layout is seen. HOSTLER_REGENERATE=1 rewrites it."""

    def test_texts(self):
        commands = [["help"], ["help", "create"], ["stop", "--help"], ["help", "disk"], ["help", "disk", "add"], ["help", "exec"],
                    ["help", "properties"], ["help", "properties", "nic0"], ["help", "devices"], ["help", "serial"], ["help", "network"]]
        text = "".join(f"$ hostler {' '.join(words)}\n{self.hostler(*words).stdout.decode()}\n" for words in commands)
        if os.environ.get("HOSTLER_REGENERATE"):
            GOLDEN_HELP.write_text(text)
        self.assertEqual(text, GOLDEN_HELP.read_text())

    def test_completion(self):
        self.serve(("GET", "/v1/vms", lambda handler: handler.answer([VM])), ("GET", "/v1/vms/web1", lambda handler: handler.answer(VM)),
                   ("GET", "/v1/vms/web1/disks", lambda handler: handler.answer([{"name": "disk0"}])))
        self.assertEqual(self.hostler("complete", "vm", "other").stdout, b"web1\n")
        self.assertEqual(self.hostler("complete", "disk", "web1").stdout, b"disk0\n")
        properties = self.hostler("complete", "property", "web1").stdout.decode().split()
        self.assertIn("cpu.count=", properties)
        self.assertNotIn("nic0.mac=", properties)

    def test_completion_of_devices(self):
        spec = {"cpu": {"kind": "cpu"}, "disk0": {"kind": "disk"}, "com": {"kind": "serial"}, "\x1b[0m": {"kind": "nic"}}
        self.serve(("GET", "/v1/vms/web1", lambda handler: handler.answer(VM | {"spec": spec})))

        def offered(*words):
            return self.hostler("complete", *words).stdout.decode().split()
        self.assertEqual(offered("device", "web1"), ["disk0", "com"])
        self.assertTrue({"nic", "network", "serial"} <= set(offered("kind", "web1")) and "cpu" not in offered("kind", "web1"))
        self.assertEqual(offered("model", "web1", "serial")[0], "isa-serial")
        self.assertEqual(offered("model", "web1", "toaster") + offered("model", "web1") + offered("setting"), [])
        self.assertIn("backend=", offered("setting", "web1", "com"))
        self.assertIn("mac=", offered("setting", "web1", "network"))
        self.assertEqual(offered("setting", "web1", "com9"), [])

    def test_completion_is_silent_without_a_daemon(self):
        result = self.hostler("complete", "vm", HOSTLER_SOCKET="/nonexistent/api.sock")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, b"", b""))


class Errors(Case):
    def test_problem(self):
        self.serve(("GET", "/v1/vms/(.*)", lambda handler, _vm: handler.refuse(
            "not-found", 404, "there is no VM wbe1", object="vm/wbe1", causes=[{"pointer": "", "detail": "near: web1\x1b[2J"}], hint="hostler ls")))
        result = self.hostler("show", "wbe1")
        self.assertEqual(result.returncode, 3)
        self.assertEqual(result.stderr.decode(), "hostler: there is no VM wbe1\n  near: web1\\x1b[2J\n  hint: hostler ls\n")
        problem = json.loads(self.hostler("show", "wbe1", "-o", "json").stderr)
        self.assertEqual((problem["code"], problem["object"]), ("not-found", "vm/wbe1"))

    def test_unreachable(self):
        result = self.hostler("--socket", "/nonexistent/api.sock", "ls")
        self.assertEqual(result.returncode, 69)
        self.assertIn(b"no daemon answers on /nonexistent/api.sock", result.stderr)

    def test_nonsense(self):
        self.serve(("GET", "/v1/vms", lambda handler: handler.answer(text='[{"name": "a"')))
        for form in ("table", "json", "yaml", "name"):
            result = self.hostler("ls", "-o", form)
            self.assertEqual((result.returncode, result.stdout), (1, b""), form)

    def test_daemon_dies_in_the_answer(self):
        def die(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b"[")
            handler.close_connection = True
        self.serve(("GET", "/v1/vms", die))
        self.assertIn(self.hostler("ls").returncode, (1, 69))


class Jobs(Case):
    def test_done(self):
        self.serve(ACCEPT, jobs_ending("done"))
        result = self.hostler("start", "web1")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, b"", b""))

    def test_failed_with_the_jobs_own_code(self):
        self.serve(ACCEPT, jobs_ending("failed", error={"type": "x", "title": "x", "code": "no-capacity", "status": 507,
                                                        "detail": "cannot start web1: 2G are wanted, 1G is free"}))
        result = self.hostler("start", "web1")
        self.assertEqual(result.returncode, 6)
        self.assertIn(b"hostler: cannot start web1: 2G are wanted", result.stderr)

    def test_partly(self):
        self.serve(("POST", "/v1/vms/bad/start", lambda handler: handler.refuse("wrong-state", 409, "bad is running")), ACCEPT,
                   jobs_ending("done"))
        result = self.hostler("start", "web1", "bad", "web2")
        self.assertEqual(result.returncode, 8)
        self.assertEqual(result.stderr, b"hostler: bad is running\n")
        self.assertEqual(self.hostler("start", "bad").returncode, 4)

    def test_progress_in_lines(self):
        self.serve(ACCEPT, jobs_ending("done", after=3))
        self.assertEqual(self.hostler("start", "web1").stderr, b"start web1: create disk\n")

    def test_interrupt_detaches(self):
        self.serve(ACCEPT, jobs_ending("done", after=1000))
        process = self.start("start", "web1")
        self.wait_for(lambda: any("/jobs/" in path for _, path, _ in self.daemon.requests), "wait for the job")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=10)
        self.assertEqual(process.returncode, 7)
        self.assertIn(b"hostler job wait j1", stderr)
        self.assertFalse([method for method, _, _ in self.daemon.requests if method == "DELETE"])

    def test_timeout_and_detach(self):
        self.serve(ACCEPT, jobs_ending("done", after=1000))
        self.assertEqual(self.hostler("pause", "web1", "--timeout", "300ms").returncode, 7)
        result = self.hostler("start", "web1", "--detach")
        self.assertEqual((result.returncode, result.stdout), (0, b"j1\n"))

    def test_result_is_printed(self):
        change = {"property": "cpu.count", "requested": "4", "device": "4", "guest": "4", "state": "applied"}
        self.serve(("PATCH", "/v1/vms/web1", lambda handler: handler.answer(job("queued"), 202)), jobs_ending("done", result=[change]))
        result = self.hostler("set", "web1", "cpu.count=4")
        self.assertEqual(result.stdout.decode().splitlines()[1].split(), ["cpu.count", "4", "4", "4", "applied"])
        self.assertEqual(self.daemon.requests[0][2], {"spec": {"cpu": {"count": 4}}})

    def test_dry_run(self):
        self.serve(("POST", r"/v1/vms/web1/start", lambda handler: handler.answer({"steps": [{"name": "disk", "detail": "open disk0"}]})))
        result = self.hostler("start", "web1", "--dry-run")
        self.assertEqual(result.stdout.decode().splitlines(), ["NAME  DETAIL", "disk  open disk0"])
        self.assertTrue(self.daemon.requests[0][1].endswith("?dryRun=true"))

    def test_unconfirmed(self):
        self.serve(("DELETE", "/v1/vms/web1", lambda handler: handler.answer(job("queued"), 202)),
                   jobs_ending("failed", error={"type": "x", "title": "x", "code": "unconfirmed", "status": 409, "detail": "web1 is running"}))
        self.assertEqual(self.hostler("rm", "web1").returncode, 9)

    def test_boot_phases(self):
        phases = iter(["firmware", "kernel", "kernel", "agent"])

        def wait(handler, _vm):
            time.sleep(0.4)
            phase = next(phases, None)
            self.phase = phase
            handler.answer(VM) if phase is None else handler.refuse("timeout", 504, "not yet")
        self.serve(ACCEPT, jobs_ending("done"), ("GET", r"/v1/vms/(\w+)/wait", wait),
                   ("GET", "/v1/vms/web1", lambda handler: handler.answer(VM | {"status": {"power": "running", "phase": self.phase}})))
        result = self.hostler("start", "web1", "--wait", "ip")
        lines = result.stderr.decode().splitlines()
        self.assertEqual([line.split()[0] for line in lines if line.startswith("  ")], ["firmware", "kernel", "userspace", "agent", "ip"])
        self.assertIn("10.0.2.15", result.stdout.decode())


class Guest(Case):
    def test_exec(self):
        def run(handler, _vm):
            text = base64.b64decode(handler.sent.get("input", ""))
            handler.answer({"exit_code": 3, "out": base64.b64encode(b"out\x1b" + text).decode(), "err": base64.b64encode(b"err").decode()})
        self.serve(("POST", r"/v1/vms/(\w+)/exec", run))
        result = self.hostler("exec", "-i", "web1", "--", "cat", "-", stdin=b"hello")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (3, b"out\x1bhello", b"err"))
        self.assertEqual(self.daemon.requests[0][2]["command"], ["cat", "-"])

    def test_cp(self):
        stored = bytearray()

        def write(handler, _vm):
            stored[handler.sent["offset"]:] = base64.b64decode(handler.sent["data"])
            handler.answer(status=204)

        def read(handler, _vm):
            start = handler.sent["offset"]
            piece = bytes(stored[start:start + handler.sent["bytes"]])
            handler.answer({"data": base64.b64encode(piece).decode(), "eof": start + len(piece) >= len(stored)})
        self.serve(("POST", r"/v1/vms/(\w+)/files/put", write), ("POST", r"/v1/vms/(\w+)/files/get", read))
        for size in (0, 1, 262144, 600001):
            content = os.urandom(size)
            stored.clear()
            result = self.hostler("cp", "-", "web1:/tmp/x", stdin=content)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(bytes(stored), content)
            self.assertEqual(self.hostler("cp", "web1:/tmp/x", "-").stdout, content)
        self.assertEqual(self.hostler("cp", "a", "b").returncode, 2)

    def test_device_read(self):
        stored = os.urandom(600001)

        def read(handler, _vm, device):
            start, version = handler.sent["offset"], handler.sent.get("version")
            if device == "new" and version == "7":
                return handler.refuse("precondition", 412, "it has begun anew")
            self.assertEqual(version, "7" if start else None)
            piece = stored[start:start + handler.sent["bytes"]]
            handler.answer({"data": base64.b64encode(piece).decode(), "eof": start + len(piece) >= len(stored), "version": "7"})
        self.serve(("POST", r"/v1/vms/(\w+)/devices/(\w+)/read", read))
        self.assertEqual(self.hostler("device", "read", "web1", "serial0").stdout, stored)
        target = pathlib.Path(self.daemon.folder, "out")
        self.assertEqual(self.hostler("device", "read", "web1", "serial0", "-w", target).stdout, b"")
        self.assertEqual(target.read_bytes(), stored)
        self.assertEqual(self.hostler("device", "read", "web1", "new").returncode, 4)
        stored = b""
        self.assertEqual(self.hostler("device", "read", "web1", "serial0", "-w", target).returncode, 0)
        self.assertEqual(target.read_bytes(), b"")
        self.assertEqual(self.hostler("device", "read", "nobody", "a-b", "-w", target.parent / "untouched").returncode, 3)
        self.assertFalse((target.parent / "untouched").exists())

    def test_event_watch_goes_on_after_a_restart(self):
        def stream(handler):
            since = int(handler.query.get("since", 0))
            handler.send_response(200)
            handler.send_header("Content-Type", "text/event-stream")
            handler.end_headers()
            for seq in (since + 1, since + 2):
                event = {"seq": seq, "time": "2025-01-01T00:00:00.000Z", "kind": "vm-power", "object": "vm/web1", "data": {"power": "off"}}
                handler.wfile.write(f": hello\n\nid: {seq}\nevent: vm-power\ndata: {json.dumps(event)}\n\n".encode())
            handler.close_connection = True
        self.serve(("GET", "/v1/events/stream", stream))
        process = self.start("event", "watch", "--since", "0", "-o", "json")
        lines = [json.loads(process.stdout.readline()) for _ in range(6)]
        self.assertEqual([line["seq"] for line in lines], [1, 2, 3, 4, 5, 6])
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), 0)


class Console(Case):
    """On a real terminal: a pty whose settings must be as before, however the command ends."""

    def serve_console(self, talk):
        def console(handler, _vm):
            handler.upgrade()
            talk(handler)
        self.serve(("GET", r"/v1/vms/(\w+)/console", console))

    def open_terminal(self):
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        self.before = termios.tcgetattr(slave)
        process = subprocess.Popen([HOSTLER, "console", "web1"], stdin=slave, stdout=slave, stderr=slave, env=self.environment(),
                                   start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, master, slave

    def read_until(self, master, wanted):
        text = b""
        while wanted not in text:
            self.assertTrue(select.select([master], [], [], 10)[0], f"{wanted!r} is not in {text!r}")
            text += os.read(master, 4096)
        return text

    def echo(self, handler):
        handler.send_frame(b"login: ")
        while True:
            opcode, payload = handler.read_frame()
            if opcode == 8:
                return
            handler.send_frame(b"<" + payload + b">")

    def is_raw(self, slave):
        return not termios.tcgetattr(slave)[3] & termios.ICANON

    def test_detach_restores(self):
        self.serve_console(self.echo)
        process, master, slave = self.open_terminal()
        self.read_until(master, b"login: ")
        self.assertTrue(self.is_raw(slave))
        os.write(master, b"\x03")  # Ctrl-C belongs to the guest
        self.read_until(master, b"<\x03>")
        os.write(master, b"\x1d")
        self.read_until(master, b"detached")
        self.assertEqual(process.wait(10), 0)
        self.assertEqual(termios.tcgetattr(slave), self.before)

    def test_signals_restore(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT):
            self.serve_console(self.echo)
            process, master, slave = self.open_terminal()
            self.read_until(master, b"login: ")
            process.send_signal(number)
            process.wait(10)
            self.assertEqual(termios.tcgetattr(slave), self.before, number)

    def test_close_reason(self):
        def talk(handler):
            handler.send_frame(b"bye")
            handler.send_close(4001, "the VM has stopped")
        self.serve_console(talk)
        process, master, slave = self.open_terminal()
        self.read_until(master, b"closed: the VM has stopped")
        self.assertEqual(process.wait(10), 0)
        self.assertEqual(termios.tcgetattr(slave), self.before)

    def test_refusal(self):
        self.serve(("GET", r"/v1/vms/(\w+)/console", lambda handler, _vm: handler.refuse("wrong-state", 409, "web1 is off")))
        process, master, slave = self.open_terminal()
        self.read_until(master, b"web1 is off")
        self.assertEqual(process.wait(10), 4)

    def test_pipes(self):
        got = threading.Event()

        def talk(handler):
            taken = b""
            while len(taken) < 100000:
                taken += handler.read_frame()[1]
            handler.send_frame(taken[-5:])
            handler.send_close(1000, "")
            got.set()
        self.serve_console(talk)
        result = self.hostler("console", "web1", stdin=b"x" * 99995 + b"12345")
        self.assertTrue(got.wait(5))
        self.assertEqual((result.returncode, result.stdout), (0, b"12345"))

    def test_pipe_ends_when_the_guest_falls_silent(self):
        def talk(handler):
            handler.send_frame(b"<" + handler.read_frame()[1] + b">")
            handler.read_frame()
        self.serve_console(talk)
        result = self.hostler("console", "web1", stdin=b"ls\n")
        self.assertEqual((result.returncode, result.stdout), (0, b"<ls\n>"))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
