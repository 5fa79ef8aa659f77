"""A stock Debian 12: built by `image build`, told who it is by its seed, grown while it runs, reached by ssh, stopped by systemd."""
import re
import socket
import subprocess

from harness import Daemon, Failed, SLOWNESS, cached_image, limit, skip, wait_until

MIB = 1024 * 1024
GIB = 1024 * MIB
IMAGE = "debian:12"
USER = "ada"
# A guest whose processor is emulated needs one to three minutes for its first boot.
BOOT_LIMIT_S = 300
UNREACHABLE = re.compile("Could not resolve|Temporary failure resolving|Could not connect|Unable to connect|Network is unreachable")


def build_image():
    """Once for all tests. Only a host that cannot get at packages is an excuse."""
    try:
        cached_image(IMAGE)
    except Failed as failed:
        if UNREACHABLE.search(str(failed)):
            skip(f"{IMAGE} cannot be built here: its packages cannot be fetched")
        raise


def new_key(daemon):
    key = daemon.folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "hostler test", "-f", key], check=True)
    return key


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def shell(daemon, command):
    return daemon.guest("deb", "sh", "-c", command)


@limit(900)
def test_debian_is_what_its_seed_and_spec_say():
    build_image()
    with Daemon(images=(IMAGE,)) as daemon:
        key, port = new_key(daemon), free_port()
        daemon.create("deb", "--memory", "512M", "--disk", "6G", "--user", USER, "--ssh-key", f"{key}.pub", "seed.host_name=analytical",
                      f"nic0.forward=tcp:{port}:22", image=IMAGE, wait="ip", timeout=BOOT_LIMIT_S)
        first_boot_is_over(daemon)
        check_seed(daemon, key)
        check_disk_and_identity(daemon)
        check_growth(daemon)
        check_ssh(key, port)
        check_new_identity(daemon)
        check_ssh(key, port)
        check_stop(daemon)


def first_boot_is_over(daemon):
    wait_until(lambda: "running" not in daemon.run("exec", "deb", "--", "cloud-init", "status").stdout, BOOT_LIMIT_S,
               "cloud-init has finished", every=2)
    assert daemon.guest("deb", "cloud-init", "status") == "status: done"
    assert shell(daemon, "ls /run/cloud-init/result.json && grep -c '\"errors\": \\[\\]' /run/cloud-init/result.json").endswith("1")


def check_seed(daemon, key):
    assert daemon.guest("deb", "hostname") == "analytical"
    assert daemon.show("deb")["status"]["host_name"] == "analytical"
    assert USER in daemon.guest("deb", "getent", "passwd", USER).split(":")[0]
    assert key.with_suffix(".pub").read_text().strip() in shell(daemon, f"cat ~{USER}/.ssh/authorized_keys")


def check_disk_and_identity(daemon):
    release = daemon.guest("deb", "cat", "/etc/os-release")
    assert "ID=debian" in release.splitlines() and 'VERSION_ID="12"' in release.splitlines()
    assert "Debian" in daemon.show("deb")["status"]["os"]
    # The image is 2 GiB; partition and file system have become as large as the disk.
    blocks, size = map(int, daemon.guest("deb", "stat", "-f", "-c", "%b %S", "/").split())
    assert 5 * GIB < blocks * size < 6 * GIB
    assert re.fullmatch("[0-9a-f]{32}", daemon.guest("deb", "cat", "/etc/machine-id"))


def check_growth(daemon):
    [cpus] = daemon.json("set", "deb", "cpu.count=2")
    assert (cpus["device"], cpus["guest"]) == ("2", "2"), cpus
    assert daemon.guest("deb", "nproc") == "2"
    before = total_memory(daemon)
    daemon.hostler("set", "deb", "memory.size=768M")
    wait_until(lambda: total_memory(daemon) >= before + 250 * MIB, 60, "the guest has the memory", every=1)


def total_memory(daemon):
    return int(shell(daemon, "sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) * 1024


def check_ssh(key, port):
    """The forward, the key and sudo, as a person would use them."""
    done = subprocess.run(["ssh", "-F", "none", "-i", key, "-p", str(port), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
                           "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=60", f"{USER}@127.0.0.1", "hostname; sudo -n id -u"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120 * SLOWNESS)
    assert done.stdout.split() == ["analytical", "0"], done.stderr


def identity(daemon):
    """Who the guest says it is: to itself, to who comes by ssh, and to a DHCP server."""
    return {"machine": daemon.guest("deb", "cat", "/etc/machine-id"),
            "ssh": shell(daemon, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"),
            "dhcp": shell(daemon, "grep -h CLIENTID /run/systemd/netif/leases/* || true")}


def check_new_identity(daemon):
    """As a clone gets one, with the commands of a real system."""
    before = identity(daemon)
    assert "CLIENTID=" in before["dhcp"], before
    daemon.hostler("renew-identity", "deb")
    wait_until(lambda: identity(daemon)["dhcp"], 60, "the guest has its lease again", every=1)
    after = identity(daemon)
    assert all(before[name] != after[name] for name in before), (before, after)


def check_stop(daemon):
    daemon.hostler("stop", "deb")
    status = daemon.show("deb")["status"]
    assert (status["power"], status["exit"]["reason"], status["exit"]["code"]) == ("off", "guest-shutdown", 0)
