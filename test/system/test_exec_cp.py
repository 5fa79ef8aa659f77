"""Programs and files in the guest, through its agent."""
import hashlib
import os
import subprocess
import time

from harness import BUILD, wait_until


def test_exec_gives_output_errors_and_exit_code_as_they_are(daemon):
    daemon.create("web1")
    done = daemon.run("exec", "web1", "--", "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 42)
    assert daemon.guest("web1", "echo", "a b", "$HOME", "*", "--help", "-o") == "a b $HOME * --help -o"
    assert daemon.hostler("exec", "-i", "web1", "--", "cat", input="to the guest\n") == "to the guest\n"
    assert daemon.run("exec", "web1", "--", "sh", "-c", "kill -9 $$").returncode == 137
    assert "no-such-program" in daemon.refused(1, "exec", "web1", "--", "no-such-program")
    binary = subprocess.run([BUILD / "hostler", "exec", "web1", "--", "printf", "\\000\\377\\n"], env=daemon.environment, capture_output=True)
    assert binary.stdout == b"\x00\xff\n"
    large = daemon.hostler("exec", "web1", "--", "sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x")
    assert large == "x" * 1_000_000
    began = time.monotonic()
    assert "sleep" in daemon.refused(7, "exec", "web1", "--timeout", "2s", "--", "sleep", "1000") and time.monotonic() - began < 15
    # A long one does not stand in the way of others.
    with subprocess.Popen([BUILD / "hostler", "exec", "web1", "--", "sleep", "6"], env=daemon.environment) as slow:
        assert daemon.guest("web1", "echo", "meanwhile", timeout=5) == "meanwhile"
        assert slow.wait(30) == 0


def test_cp_both_ways_is_the_same_bytes(daemon):
    daemon.create("web1")
    there, back = daemon.folder / "there", daemon.folder / "back"
    there.write_bytes(os.urandom(1_500_001))
    daemon.hostler("cp", there, "web1:/root/file")
    want = hashlib.sha256(there.read_bytes()).hexdigest()
    assert daemon.guest("web1", "sha256sum", "/root/file").split()[0] == want
    daemon.hostler("cp", "web1:/root/file", back)
    assert back.read_bytes() == there.read_bytes()
    there.write_bytes(b"short")
    daemon.hostler("cp", there, "web1:/root/file")
    assert daemon.guest("web1", "cat", "/root/file") == "short"
    assert daemon.hostler("cp", "web1:/root/file", "-") == "short"
    daemon.hostler("cp", "-", "web1:/root/empty", input="")
    assert daemon.guest("web1", "stat", "-c", "%s", "/root/empty") == "0"
    folder = daemon.folder / "folder"
    folder.mkdir()
    daemon.hostler("cp", "web1:/root/file", folder)
    assert (folder / "file").read_text() == "short"


def test_cp_refusals_leave_nothing_half_made(daemon):
    daemon.create("web1")
    target = daemon.folder / "target"
    assert "/no/such" in daemon.refused(1, "cp", "web1:/no/such", target) and not target.exists()
    assert daemon.run("cp", target, "web1:/root/x").returncode in (1, 3)
    assert daemon.run("cp", "web1:/etc", target).returncode == 1 and not target.exists()
    daemon.refused(2, "cp", target, target)
    daemon.refused(2, "cp", "web1:/a", "web1:/b")
    daemon.refused(3, "cp", "nobody:/a", target)


def test_without_an_agent_it_is_said_at_once(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    assert "start web1" in daemon.refused(4, "exec", "web1", "--", "true")
    daemon.hostler("start", "web1")
    began = time.monotonic()
    assert "agent" in daemon.refused(4, "exec", "web1", "--", "true") and time.monotonic() - began < 3
    daemon.hostler("wait", "web1", "agent")
    assert daemon.guest("web1", "true") == ""


def test_an_agent_that_is_restarted_is_found_again(daemon):
    daemon.create("web1")
    daemon.guest("web1", "sh", "-c", "(sleep 1; killall qemu-ga) > /dev/null 2>&1 &")
    time.sleep(1.5)
    wait_until(lambda: daemon.run("exec", "web1", "--", "true").returncode == 0, 30, every=0.3)
