"""Waiting, events and jobs, as scripts use them."""
import json
import signal
import subprocess
import time

from harness import BUILD, limit, wait_until


def background(daemon, *arguments):
    return subprocess.Popen([BUILD / "hostler", *arguments], env=daemon.environment, text=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_wait_for_each_state(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    daemon.hostler("wait", "web1", "off")
    assert "off" in daemon.refused(4, "wait", "web1", "running")
    daemon.hostler("start", "web1")
    daemon.hostler("wait", "web1", "running", "--timeout", "5s")
    daemon.refused(7, "wait", "web1", "off", "--timeout", "1s")
    daemon.hostler("wait", "web1", "agent")
    daemon.hostler("wait", "web1", "ip")
    assert daemon.show("web1")["status"]["addresses"]
    waiting = background(daemon, "wait", "web1", "off")
    daemon.hostler("stop", "web1")
    assert waiting.wait(10) == 0
    daemon.refused(3, "wait", "nobody", "off")
    daemon.refused(2, "wait", "web1", "sometime")


def test_wait_ends_when_it_can_no_longer_be(daemon):
    daemon.hostler("create", "web1", "--image", "tiny", "--start")
    waiting = background(daemon, "wait", "web1", "agent", "--timeout", "10m")
    time.sleep(0.5)
    daemon.hostler("stop", "--hard", "web1")
    _, said = waiting.communicate(timeout=10)
    assert waiting.returncode == 4 and "off" in said


def test_events_have_no_gap_and_no_repeat_over_restarts(daemon):
    watching = background(daemon, "event", "watch", "--since", "0", "-o", "json")
    daemon.create("web1", wait="running")
    daemon.hostler("pause", "web1")
    watching.send_signal(signal.SIGINT)
    seen = [json.loads(line) for line in watching.communicate(timeout=10)[0].splitlines()]
    daemon.restart(kill=True)
    daemon.hostler("resume", "web1")
    daemon.hostler("stop", "--hard", "web1")
    listed = daemon.json("event", "ls")
    assert [event["seq"] for event in listed] == list(range(1, len(listed) + 1))
    assert seen == listed[:len(seen)] and len(seen) > 5
    powers = [event["data"]["power"] for event in listed if event["kind"] == "vm-power" and event["object"] == "vm/web1"]
    assert powers[:3] == ["starting", "running", "paused"] and powers[-1] == "off"
    assert daemon.json("event", "ls", "--since", listed[-2]["seq"]) == listed[-1:]


def test_every_job_is_kept_with_its_steps_and_its_error(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    daemon.refused(4, "pause", "web1")
    failed, made = daemon.json("job", "ls")
    assert (made["verb"], made["state"], failed["verb"], failed["state"]) == ("vm.create", "done", "vm.pause", "failed")
    assert [step["name"] for step in made["steps"]] == ["folder", "disk", "store"]
    assert failed["error"]["code"] == "wrong-state"
    assert daemon.json("job", "show", made["id"])["object"] == "vm/web1"
    daemon.hostler("job", "wait", made["id"])
    assert "off" in daemon.refused(4, "job", "wait", failed["id"])
    daemon.refused(3, "job", "show", "no-such-job")
    assert [job["id"] for job in daemon.json("job", "ls", "--state", "failed")] == [failed["id"]]


def test_detach_wait_and_cancel(daemon):
    daemon.create("web1")
    daemon.guest("web1", "sh", "-c", "kill -TSTP 1; killall acpid power-button; (sleep 1; killall qemu-ga) > /dev/null 2>&1 &")
    wait_until(lambda: daemon.run("exec", "web1", "--", "true").returncode != 0, 30, every=0.3)
    job = daemon.hostler("stop", "web1", "--detach", "-o", "name").strip()
    wait_until(lambda: daemon.json("job", "show", job)["state"] == "running")
    daemon.refused(7, "job", "wait", job, "--timeout", "1s")
    # The same VM's next job waits for its turn; reads do not.
    queued = daemon.hostler("pause", "web1", "--detach", "-o", "name").strip()
    assert daemon.json("job", "show", queued)["state"] == "queued" and daemon.power("web1") == "running"
    daemon.hostler("job", "cancel", job)
    wait_until(lambda: daemon.json("job", "show", job)["state"] == "cancelled", 5)
    daemon.hostler("job", "wait", queued, "--timeout", "10s")
    assert daemon.power("web1") == "paused"


@limit(120)
def test_interrupt_detaches_and_says_how_to_go_on(daemon):
    daemon.create("web1")
    daemon.guest("web1", "sh", "-c", "kill -TSTP 1; killall acpid power-button; (sleep 1; killall qemu-ga) > /dev/null 2>&1 &")
    wait_until(lambda: daemon.run("exec", "web1", "--", "true").returncode != 0, 30, every=0.3)
    stopping = background(daemon, "stop", "web1", "--timeout", "5m")
    wait_until(lambda: daemon.json("job", "ls", "--state", "running"))
    stopping.send_signal(signal.SIGINT)
    _, said = stopping.communicate(timeout=10)
    job = daemon.json("job", "ls", "--state", "running")[0]["id"]
    assert f"hostler job wait {job}" in said and stopping.returncode == 7
