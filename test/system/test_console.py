"""The serial console: on a terminal, by several at once, and its log after the VM has died."""
import os
import pty
import signal
import subprocess

from harness import BUILD, wait_until


class Terminal:
    """`hostler console` on a terminal of its own."""

    def __init__(self, daemon, vm):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([BUILD / "hostler", "console", vm], env=daemon.environment, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        os.set_blocking(self.master, False)
        self.text = ""
        self.until("attached")

    def until(self, text, timeout=20):
        def seen():
            try:
                self.text += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                pass
            return text in self.text
        wait_until(seen, timeout, f"{text!r} on the console", every=0.05)

    def type(self, text):
        os.write(self.master, text.encode())

    def detach(self):
        self.type("\x1d")
        assert self.process.wait(10) == 0
        os.close(self.master)


def test_a_shell_on_the_serial_port_shared_by_two(daemon):
    daemon.create("web1")
    one, other = Terminal(daemon, "web1"), Terminal(daemon, "web1")
    one.type("\recho typed-$((6 * 7))\r")
    one.until("typed-42")
    other.until("typed-42")
    other.type("echo line > /root/typed\r")
    wait_until(lambda: daemon.guest("web1", "cat", "/root/typed") == "line", 10)
    one.detach()
    other.type("echo still-$((1 + 1))\r")
    other.until("still-2")
    other.detach()
    assert daemon.power("web1") == "running"
    assert "typed-42" in daemon.hostler("console", "web1", "--log")


def test_the_log_is_there_after_the_vm_died_and_without_the_daemon(daemon):
    vm = daemon.create("web1")
    daemon.kill()
    pid = vm["status"]["pid"]
    os.kill(pid, signal.SIGKILL)
    daemon.start()
    wait_until(lambda: daemon.power("web1") == "crashed", 10, daemon.show("web1")["status"])
    log = daemon.hostler("console", "web1", "--log")
    assert "Linux version" in log and "hostler: userspace" in log
    assert "--log" in daemon.refused(4, "console", "web1")
    daemon.refused(3, "console", "nobody")


def test_a_console_ends_with_its_vm(daemon):
    daemon.create("web1")
    terminal = Terminal(daemon, "web1")
    daemon.hostler("stop", "--hard", "web1")
    terminal.process.wait(10)
    os.close(terminal.master)


def test_the_log_has_a_limit(daemon):
    daemon.create("web1")
    daemon.guest("web1", "sh", "-c", "yes 0123456789012345678901234567890123456789 | head -c 3000000 > /dev/ttyS0", timeout=180)
    size = max(path.stat().st_size for path in daemon.state.glob("vms/*/console.log*"))
    assert size <= 2 << 20, size
