"""Guests on a switch: port groups, VLANs and policies as the guests themselves see them. What each policy does to which frame is
tested with raw frames in test/switch."""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess

from api import Api
from harness import BUILD, Daemon, limit, skip, wait_until


def system_daemon(images=("tiny",)):
    """A daemon with switches."""
    if os.geteuid() != 0 or not os.access("/dev/net/tun", os.W_OK):
        skip("switches need root and /dev/net/tun")
    if not shutil.which("ovs-vswitchd", path="/usr/sbin:/usr/bin"):
        skip("Open vSwitch is not installed")
    daemon = Daemon(images=images, start=False)
    daemon.start("--system")
    return daemon


def restart(daemon):
    daemon.kill()
    daemon.start("--system")
    wait_until(lambda: all(vm["status"]["power"] != "unresponsive" for vm in daemon.json("ls")), 30)


def give_address(daemon, vm, number, device="eth0"):
    daemon.guest(vm, "ip", "link", "set", device, "up")
    daemon.guest(vm, "ip", "addr", "add", f"10.9.0.{number}/24", "dev", device)


def reaches(daemon, vm, number):
    """Whether @vm gets an answer from 10.9.0.@number."""
    return daemon.run("exec", vm, "--", "ping", "-c", "1", "-W", "2", f"10.9.0.{number}").returncode == 0


def never_reaches(daemon, vm, number, guests=("web1", "web2")):
    """Not even after the neighbour tables have forgotten what they knew."""
    for guest in guests:
        daemon.guest(guest, "ip", "neigh", "flush", "dev", "eth0")
    return not reaches(daemon, vm, number)


def soon_reaches(daemon, vm, number):
    wait_until(lambda: reaches(daemon, vm, number), 30, f"{vm} reaches 10.9.0.{number}")


def received(daemon, vm):
    return int(daemon.guest(vm, "cat", "/sys/class/net/eth0/statistics/rx_packets"))


def state_of(daemon, *arguments):
    return [row["state"] for row in daemon.json("set", *arguments)]


def check_vlans(daemon):
    soon_reaches(daemon, "web1", 2)
    assert state_of(daemon, "web2", "nic0.network=lan/db") == ["applied"]
    assert never_reaches(daemon, "web1", 2)
    assert state_of(daemon, "web2", "nic0.vlan=10") == ["applied"]
    soon_reaches(daemon, "web1", 2)
    assert state_of(daemon, "web2", "nic0.vlan=", "nic0.network=lan/web") == ["applied", "applied"]
    soon_reaches(daemon, "web1", 2)


def check_changed_address(daemon, vm, number):
    """The guest gives its adapter another address, and the switch acts on it: QEMU tells, or what the guest sends does."""
    def change_address(address):
        daemon.guest(vm, "ip", "link", "set", "eth0", "address", address)
        daemon.guest("web1", "ip", "neigh", "flush", "dev", "eth0")
    own = daemon.show(vm)["spec"]["nic0"]["mac"]
    change_address("02:77:77:77:77:77")
    soon_reaches(daemon, "web1", number)
    daemon.hostler("set", vm, "nic0.mac_changes=reject")
    assert never_reaches(daemon, "web1", number, ("web1", vm))
    change_address(own)
    soon_reaches(daemon, "web1", number)


def check_promiscuous(daemon):
    """What the third guest gets of what the others say to each other: nothing, unless it may and asks."""
    def heard():
        before = received(daemon, "web3")
        daemon.guest("web1", "ping", "-q", "-c", "20", "-i", "0.05", "10.9.0.2")
        return received(daemon, "web3") - before
    soon_reaches(daemon, "web1", 2)
    daemon.guest("web3", "ip", "link", "set", "eth0", "promisc", "on")
    assert heard() < 20
    daemon.hostler("portgroup", "set", "lan", "web", "promiscuous=accept")
    wait_until(lambda: heard() >= 40, 30, "both directions are heard")
    daemon.guest("web3", "ip", "link", "set", "eth0", "promisc", "off")
    wait_until(lambda: heard() < 20, 30, "it no longer asks")
    daemon.hostler("portgroup", "set", "lan", "web", "promiscuous=")


def check_mirror(daemon):
    """The third guest sees each frame of the first one once, and nothing else; the mirror knows VMs by more than their names."""
    daemon.hostler("mirror", "create", "lan", "watch", "sources=web1.nic0", "destination=web3.nic0")
    assert not reaches(daemon, "web3", 2)
    daemon.guest("web3", "ip", "link", "set", "eth0", "promisc", "on")
    before = received(daemon, "web3"), received(daemon, "web1")
    daemon.guest("web1", "ping", "-q", "-c", "20", "-i", "0.05", "10.9.0.2")
    copies, answers = received(daemon, "web3") - before[0], received(daemon, "web1") - before[1]
    assert answers >= 20 and copies >= 40, (copies, answers)
    daemon.hostler("rename", "web1", "front")
    assert daemon.json("mirror", "show", "lan", "watch")["spec"]["sources"] == ["front.nic0"]
    daemon.hostler("rename", "front", "web1")
    assert [(row["name"], row["state"]) for row in daemon.json("mirror", "ls", "lan")] == [("watch", "active")]
    assert "is the destination" in daemon.refused(2, "mirror", "set", "lan", "watch", "sources=web3.nic0")
    assert "no adapter" in daemon.refused(2, "mirror", "set", "lan", "watch", "destination=web9.nic0")
    daemon.hostler("mirror", "rm", "lan", "watch")
    daemon.guest("web3", "ip", "link", "set", "eth0", "promisc", "off")
    soon_reaches(daemon, "web3", 2)


def check_far_mirror(daemon):
    """Copies for another host, which is this one: in GRE, with the VLAN; also after the daemon's end."""
    def arrives():
        daemon.run("exec", "web1", "--", "ping", "-c", "1", "-W", "1", "10.9.0.2")
        packet = far.recv(4096)[20:]
        return packet[:4] == b"\x10\x00\x88\xbe" and struct.unpack(">I", packet[8:12])[0] == 1 << 28 | 10 << 16 | 3 << 11 | 7
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE) as far:
        far.settimeout(60)
        daemon.hostler("mirror", "create", "lan", "away", "sources=web1.nic0", "destination=erspan:127.0.0.1", "erspan_session=7")
        assert arrives()
        restart(daemon)
        wait_until(lambda: daemon.json("mirror", "show", "lan", "away")["state"] == "active", 30, "its source is on the switch again")
        assert arrives()
        daemon.hostler("mirror", "rm", "lan", "away")


def capture(daemon, *arguments):
    return subprocess.Popen([BUILD / "hostler", "capture", "web1", "nic0", *arguments], env=daemon.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def frames_of(pcap):
    """The frames of a pcap file as bytes."""
    assert struct.unpack("<IHHIIII", pcap[:24])[:3] == (0xa1b2c3d4, 2, 4)
    frames, at = [], 24
    while at < len(pcap):
        kept, length = struct.unpack("<8xII", pcap[at:at + 16])
        frames.append(pcap[at + 16:at + 16 + kept])
        at += 16 + kept
    assert at == len(pcap)
    return frames


def echo_requests(frames):
    """The sequence numbers of pings in them."""
    return [struct.unpack(">H", frame[40:42])[0] for frame in frames if frame[12:14] == b"\x08\x00" and frame[23] == 1 and frame[34] == 8]


def check_capture(daemon):
    """Each ping once, in a file and in lines; and nothing stays behind, however it ends."""
    soon_reaches(daemon, "web1", 2)
    running = capture(daemon, "-w", "-")
    head = running.stdout.read(24)
    daemon.guest("web1", "ping", "-q", "-c", "20", "-i", "0.05", "10.9.0.2")
    running.send_signal(signal.SIGINT)
    frames = frames_of(head + running.communicate(timeout=60)[0])
    assert running.returncode == 0 and echo_requests(frames) == list(range(20)), echo_requests(frames)
    lines = capture(daemon, "--count", "2", "--snaplen", "60")
    while lines.poll() is None:
        daemon.guest("web1", "ping", "-q", "-c", "2", "-i", "0.05", "10.9.0.2")
    text = lines.communicate(timeout=60)[0].decode().splitlines()
    assert lines.returncode == 0 and len(text) == 2 and all(" > " in line for line in text), text
    slow = capture(daemon, "-w", "-")
    head = slow.stdout.read(24)
    daemon.run("exec", "web1", "--", "ping", "-q", "-s", "60000", "-i", "0.01", "-c", "100", "-W", "1", "10.9.0.2")  # 82 frames each
    slow.send_signal(signal.SIGINT)
    taken, told = slow.communicate(timeout=60)
    words = told.decode().split()
    assert slow.returncode == 0 and words[1::3] == ["frames,", "lost"] and int(words[0]) == len(frames_of(head + taken)) and int(words[2]) > 0, told
    done = capture(daemon, "--duration", "100ms", "-w", "-")
    assert done.communicate(timeout=60)[0][:4] == b"\xd4\xc3\xb2\xa1" and done.returncode == 0
    wait_until(lambda: not leftovers(daemon), 20, "captures leave nothing")
    assert "no network adapter" in daemon.refused(3, "capture", "web1", "disk0")


def leftovers(daemon):
    """Mirrors that the switch's database has."""
    answer = subprocess.run(["ovs-vsctl", f"--db=unix:{daemon.state}/network/db/run/db.sock", "--no-wait", "--columns=name", "list", "mirror"], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def check_counters_go_on(daemon):
    """Over the end of the daemon, and of the switch, also while there is no daemon; a reset stays one."""
    def counts():
        done = daemon.run("nic", "stats", "web1", "nic0", "-o", "json")
        return done.returncode == 0 and json.loads(done.stdout)

    def blocked():
        return (counts() or {}).get("blocked", 0)
    daemon.hostler("nic", "stats", "web1", "nic0", "--reset")
    assert never_reaches(daemon, "web1", 2)
    first = wait_until(blocked, 30, "drops are counted")
    restart(daemon)
    after = wait_until(lambda: counts(), 30, "it is on the switch again")
    assert first <= after["blocked"] < first + 50 and after["tx_packets"] < 100, (first, after)
    daemon.kill()
    os.kill(switch_process(daemon), 9)
    daemon.start("--system")
    wait_until(lambda: all(vm["status"]["power"] == "running" for vm in daemon.json("ls")), 30)
    wait_until(lambda: blocked() >= first, 30, "nothing is forgotten")
    assert never_reaches(daemon, "web1", 2)
    wait_until(lambda: blocked() > after["blocked"], 30, "it goes on counting")
    dropped = lambda: any(sample.get("net_dropped", 0) > 0 for sample in daemon.json("nic", "metrics", "web1", "nic0", "--points", "5000")["samples"])
    wait_until(lambda: never_reaches(daemon, "web1", 2) and dropped(), 60, "and drops are in what is kept of the past")
    assert "net_dropped" in daemon.hostler("nic", "metrics", "web1", "nic0") and daemon.refused(3, "nic", "metrics", "web1", "disk0")


def switch_process(daemon):
    (pid,) = [pid for pid, command in daemon.processes().items() if "ovs-vswitchd" in command and "keeper" not in command]
    return pid


def check_restarts(daemon):
    """Neither the daemon's end nor the switch's is the guests'."""
    daemon.hostler("set", "web1", "nic0.traffic=reject")
    assert never_reaches(daemon, "web1", 2)
    check_counters_go_on(daemon)
    running = capture(daemon, "-w", "-")
    running.stdout.read(24)
    restart(daemon)
    assert running.wait(timeout=60) != 0
    wait_until(lambda: not leftovers(daemon), 20, "a killed daemon's capture goes")
    assert never_reaches(daemon, "web1", 2)
    daemon.hostler("set", "web1", "nic0.traffic=")
    soon_reaches(daemon, "web1", 2)
    os.kill(switch_process(daemon), 9)
    soon_reaches(daemon, "web1", 2)


def check_suspended(daemon):
    """A guest that comes back from the disk has its port, its policies and its address again; so has one that goes back to a snapshot."""
    daemon.hostler("set", "web1", "nic0.traffic=reject")
    daemon.hostler("snapshot", "create", "web1", "silent")
    for words in (("suspend", "web1"), ("revert", "web1", "silent")):
        daemon.hostler(*words)
        if words[0] == "suspend":
            assert daemon.show("web1")["status"]["power"] == "suspended" and not reaches(daemon, "web2", 1)
            daemon.hostler("resume", "web1")
        daemon.hostler("wait", "web1", "agent")
        assert never_reaches(daemon, "web1", 2)
    daemon.hostler("set", "web1", "nic0.traffic=")
    soon_reaches(daemon, "web1", 2)
    daemon.hostler("snapshot", "rm", "web1", "silent")


def policy(daemon, name):
    return next((row["value"], row["from"]) for row in daemon.json("nic", "policy", "web1", "nic0") if row["property"] == name)


def metrics(daemon):
    connection = Api(daemon.socket)
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode().splitlines()


def check_counted(daemon):
    """Who decides, and what it cost: the guest's frames from an address that it may not have."""
    assert policy(daemon, "mac_spoofing") == ("accept", "default")
    daemon.hostler("switch", "set", "lan", "forged_transmits=reject", "mac_changes=reject")
    assert policy(daemon, "forged_transmits_tcp") == ("reject", "switch")
    daemon.hostler("portgroup", "set", "lan", "web", "rate_to_vm=100000")
    assert policy(daemon, "rate_to_vm") == ("100000", "portgroup")
    own = daemon.show("web1")["spec"]["nic0"]["mac"]
    before = daemon.json("nic", "stats", "web1", "nic0")
    daemon.guest("web1", "ip", "link", "set", "eth0", "address", "02:77:77:77:77:78")
    assert never_reaches(daemon, "web1", 2)
    after = wait_until(lambda: daemon.json("nic", "stats", "web1", "nic0") if daemon.json("nic", "stats", "web1", "nic0")["forged"] > before["forged"] else None, 30)
    assert after["tx_packets"] > before["tx_packets"] and after["spoofed"] == before["spoofed"]
    wait_until(lambda: any(line.startswith('hostler_nic_forged_total{vm="web1",nic="nic0"}') and not line.endswith(" 0") for line in metrics(daemon)), 30)
    daemon.guest("web1", "ip", "link", "set", "eth0", "address", own)
    assert daemon.json("nic", "stats", "web1", "nic0", "--reset")["forged"] == 0
    assert state_of(daemon, "web1", "nic0.statistics=off") == ["applied"]
    before = daemon.json("nic", "stats", "web1", "nic0")
    daemon.guest("web1", "ping", "-q", "-c", "5", "-i", "0.05", "10.9.0.2")
    assert daemon.json("nic", "stats", "web1", "nic0") == before
    assert state_of(daemon, "web1", "nic0.statistics=") == ["applied"]
    daemon.hostler("switch", "set", "lan", "forged_transmits=", "mac_changes=")
    daemon.hostler("set", "web1", "nic0.forged_transmits=reject")
    assert policy(daemon, "forged_transmits") == ("reject", "adapter")
    daemon.hostler("set", "web1", "nic0.forged_transmits=")
    soon_reaches(daemon, "web1", 2)
    assert daemon.refused(3, "nic", "stats", "web1", "disk0") and daemon.refused(3, "nic", "policy", "web1", "nic7")


def check_trace(daemon):
    """Who gets a frame, and which policy of whom keeps it from them; and the guests agree."""
    def result(*arguments):
        rows = daemon.json("nic", "trace", "web1", "nic0", *arguments)
        return rows[-1]["outcome"], rows[-1]["why"]
    assert result("web2.nic0", "--protocol", "tcp", "--port", "22") == ("delivered", "to web2.nic0")
    daemon.hostler("portgroup", "set", "lan", "web", "forged_transmits=reject")
    assert result("web2.nic0", "--source", "02:77:77:77:77:79") == ("dropped", "forged_transmits=reject of the portgroup")
    assert result("web2.nic0") == ("delivered", "to web2.nic0")
    daemon.hostler("set", "web2", "nic0.traffic=reject")
    assert result("web2.nic0") == ("dropped", "traffic=reject of the adapter") and not reaches(daemon, "web1", 2)
    daemon.hostler("set", "web2", "nic0.traffic=")
    daemon.hostler("portgroup", "set", "lan", "web", "forged_transmits=")
    assert result("broadcast", "--protocol", "arp")[1] in ("to web2.nic0, web3.nic0", "to web3.nic0, web2.nic0")
    assert result("02:00:00:00:00:01") == ("dropped", "nobody has this address, and there is no uplink")
    assert "no adapter" in daemon.refused(2, "nic", "trace", "web1", "nic0", "nobody")


def check_plugged_live(daemon):
    daemon.hostler("device", "add", "web1", "nic", "extra", "network=lan/web")
    device = wait_until(lambda: next((name for name in daemon.guest("web1", "ls", "/sys/class/net").split() if name not in ("lo", "eth0")), None), 30)
    daemon.guest("web1", "ip", "link", "set", device, "up")
    daemon.guest("web1", "ip", "addr", "add", "10.9.0.7/24", "dev", device)
    assert "web1.extra" in daemon.json("portgroup", "show", "lan", "web")["adapters"]
    daemon.guest("web1", "ping", "-c", "1", "-W", "5", "-I", device, "10.9.0.2")
    daemon.hostler("device", "rm", "web1", "extra")
    wait_until(lambda: device not in daemon.guest("web1", "ls", "/sys/class/net").split(), 30)


@limit(300)
def test_guests_on_a_switch():
    with system_daemon() as daemon:
        daemon.hostler("switch", "create", "lan")
        daemon.hostler("portgroup", "create", "lan", "web", "vlan=10")
        daemon.hostler("portgroup", "create", "lan", "db", "vlan=20")
        for number in (1, 2, 3):
            daemon.hostler("create", f"web{number}", "--image", "tiny", "--start", "nic0.network=lan/web", "memory.size=128M", "memory.boot=128M", "memory.max=128M")
        for number in (1, 2, 3):
            daemon.hostler("wait", f"web{number}", "agent", timeout=180)
            give_address(daemon, f"web{number}", number)
        check_vlans(daemon)
        check_changed_address(daemon, "web2", 2)
        check_promiscuous(daemon)
        check_mirror(daemon)
        check_far_mirror(daemon)
        check_capture(daemon)
        check_trace(daemon)
        check_plugged_live(daemon)
        check_counted(daemon)
        check_restarts(daemon)
        check_suspended(daemon)
        assert "web1.nic0" in daemon.refused(4, "portgroup", "rm", "lan", "web")
        for number in (1, 2, 3):
            daemon.hostler("stop", "--hard", f"web{number}")
            daemon.hostler("rm", "--now", "-y", f"web{number}")
        daemon.hostler("switch", "rm", "lan")
        wait_until(lambda: not any("ovs" in command for command in daemon.processes().values()), 20, "nothing runs for no switch")


def test_a_card_that_cannot_tell_its_address():
    """QEMU's e1000 has no query-rx-filter."""
    with system_daemon(images=("tiny", "tiny-full")) as daemon:
        daemon.hostler("switch", "create", "lan")
        daemon.hostler("portgroup", "create", "lan", "web")
        daemon.create("web1", "nic0.network=lan/web")
        daemon.create("old", "nic0.network=lan/web", "nic0.model=e1000", image="tiny-full")
        assert daemon.guest("old", "readlink", "/sys/class/net/eth0/device/driver").endswith("/e1000")
        for number, vm in enumerate(("web1", "old"), 1):
            give_address(daemon, vm, number)
        soon_reaches(daemon, "web1", 2)
        check_changed_address(daemon, "old", 2)


def test_bad_switches():
    with system_daemon() as daemon:
        assert "there is no such port group" in daemon.refused(2, "create", "web1", "--image", "tiny", "nic0.network=lan/web")
        daemon.hostler("switch", "create", "lan", "forged_transmits=reject")
        daemon.hostler("portgroup", "create", "lan", "web")
        assert daemon.refused(4, "switch", "create", "lan") and daemon.refused(4, "portgroup", "create", "lan", "web")
        assert "no VLAN" in daemon.refused(2, "portgroup", "set", "lan", "web", "vlan=4096")
        assert "stands alone" in daemon.refused(2, "portgroup", "set", "lan", "web", "promiscuous=reject,unicast")
        assert "did you mean" in daemon.refused(2, "switch", "set", "lan", "forged_transmit=reject")
        assert "no slower than the average" in daemon.refused(2, "switch", "set", "lan", "rate_to_vm=2000", "peak_to_vm=1000")
        assert daemon.refused(3, "portgroup", "create", "wan", "web") and daemon.refused(3, "portgroup", "rm", "lan", "db")
        daemon.hostler("create", "web1", "--image", "tiny", "nic0.network=lan/web")
        assert "web1.nic0" in daemon.refused(4, "switch", "rm", "lan")
        for bad in ("nic0.forward=tcp:2222:22", "nic0.vlan=trunk:30-20", "nic0.guard=10.9.0.999"):
            daemon.refused(2, "set", "web1", bad)
        for destination, why in (("erspan:10.0.0.256", "no IPv4 address"), ("erspan:224.0.0.5", "not to a group"), ("rspan:99", "erspan:10.0.0.5")):
            assert why in daemon.refused(2, "mirror", "create", "lan", "far", "sources=all", "erspan_type=3", "destination=" + destination)
        restart(daemon)
        shown = daemon.json("switch", "show", "lan")
        assert shown["spec"]["forged_transmits"] == "reject"
        assert shown["datapath"] == ("system" if os.path.exists("/sys/module/openvswitch") else "netdev")
        if shown["datapath"] == "netdev":
            assert "no openvswitch module" in daemon.refused(2, "set", "web1", "nic0.tx_checksumming=on")
        daemon.hostler("rm", "--now", "-y", "web1")
        daemon.hostler("switch", "rm", "lan")


def test_without_privileges_there_are_none(daemon):
    assert "runs as root" in daemon.refused(1, "switch", "create", "lan")
    assert "runs as root" in daemon.refused(2, "create", "web1", "--image", "tiny", "nic0.network=lan/web")
    assert "it needs a switch" in daemon.refused(2, "create", "web1", "--image", "tiny", "nic0.promiscuous=accept")
