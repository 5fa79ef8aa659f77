"""A clone's guest gets an identity of its own through its agent; file systems that were frozen for a snapshot thaw whatever happens."""
from crash import api_of
from harness import limit, wait_until


def shell(daemon, vm, command):
    return daemon.guest(vm, "sh", "-c", command)


def renewed(daemon, vm):
    wait_until(lambda: "identity_of" not in daemon.show(vm)["status"], 60, f"the guest of {vm} has an identity of its own")
    event = [event for event in api_of(daemon).call("GET", "/v1/events?limit=1000") if event["kind"] == "vm-identity" and event["object"] == f"vm/{vm}"]
    return set(event[-1]["data"]["renewed"].split(", "))


@limit(400)
def test_a_clone_gets_an_identity_of_its_own(daemon):
    daemon.create("web1", wait="ip")
    # What an ordinary distribution has and the tiny one lacks; a key generator that does what ssh-keygen's -A is asked for.
    shell(daemon, "web1", "echo 0123456789abcdef0123456789abcdef > /etc/machine-id; echo web1 > /etc/hostname; echo '10.0.0.5 web1 localhost' > /etc/hosts;"
          "mkdir -p /etc/ssh; echo old > /etc/ssh/ssh_host_ed25519_key; echo old > /etc/ssh/ssh_host_ed25519_key.pub;"
          "printf '#!/bin/sh\\nhead -c 32 /dev/urandom | md5sum > /etc/ssh/ssh_host_ed25519_key\\n' > /usr/bin/ssh-keygen; chmod +x /usr/bin/ssh-keygen; sync")
    daemon.hostler("clone", "web1", "web2")
    assert daemon.show("web2")["status"]["identity_of"] == "web1" and "identity_of" not in daemon.show("web1")["status"]
    daemon.hostler("start", "web2", "--wait", "agent")
    assert renewed(daemon, "web2") == {"random", "machine-id", "host-name", "ssh-host-keys", "dhcp"}
    machine_id = shell(daemon, "web2", "cat /etc/machine-id")
    assert len(machine_id) == 32 and int(machine_id, 16) and machine_id != shell(daemon, "web1", "cat /etc/machine-id")
    assert shell(daemon, "web2", "hostname; cat /etc/hostname /etc/hosts").split() == ["web2", "web2", "10.0.0.5", "web2", "localhost"]
    assert shell(daemon, "web2", "cat /etc/ssh/ssh_host*") != "old" and shell(daemon, "web1", "cat /etc/ssh/ssh_host_ed25519_key") == "old"
    daemon.hostler("wait", "web2", "ip")
    # Once is enough; a person may ask again.
    daemon.hostler("restart", "--hard", "web2", "--wait", "agent")
    assert shell(daemon, "web2", "cat /etc/machine-id") == machine_id
    row = daemon.json("renew-identity", "web2")
    assert "machine-id" in row["renewed"] and shell(daemon, "web2", "cat /etc/machine-id") != machine_id


@limit(400)
def test_frozen_file_systems_thaw_even_if_the_daemon_dies(daemon):
    daemon.create("web1")
    shell(daemon, "web1", "echo one > /root/note; sync")
    assert daemon.json("snapshot", "create", "web1", "clean", "--disk-only")["frozen"]
    for point in ("stop", "layers", "keep", "@commit", "@end"):
        daemon.kill()
        daemon.start(environment={"HOSTLER_CRASH_AT": f"snapshot.create:{point}"})
        wait_until(lambda: api_of(daemon).call("GET", "/v1/vms/web1")["status"].get("phase") in ("agent", "ip"), 30, "the agent is there")
        daemon.run("snapshot", "create", "web1", point.strip("@"), "--disk-only")
        daemon.process.wait(60)
        daemon.start()
        write = ("exec", "web1", "--timeout", "20s", "--", "sh", "-c", "echo again > /root/again; sync")
        wait_until(lambda: daemon.run(*write).returncode == 0, 60, "its agent can write")
    # The file system of a frozen guest is clean: nothing is recovered when it is mounted.
    daemon.hostler("revert", "web1", "clean")
    daemon.hostler("start", "web1", "--wait", "agent")
    assert shell(daemon, "web1", "cat /root/note") == "one" and "recover" not in shell(daemon, "web1", "dmesg | grep EXT4")
    daemon.hostler("stop", "--hard", "web1")
    daemon.hostler("start", "web1", "--wait", "agent")
    assert "recover" in shell(daemon, "web1", "dmesg | grep EXT4")
