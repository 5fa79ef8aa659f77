"""Settings: each answer says what was asked, what the device has and what the guest sees; and the guest agrees."""
import concurrent.futures
import json
import socket

from harness import wait_until

MIB = 1024 * 1024


def change(daemon, *arguments):
    """{property: row} of `hostler set`."""
    return {row["property"]: row for row in daemon.json("set", *arguments)}


def memory(daemon, vm):
    return int(daemon.guest(vm, "sed", "-n", "s/^MemTotal: *\\([0-9]*\\) kB/\\1/p", "/proc/meminfo")) * 1024


def processors(daemon, vm):
    return daemon.guest(vm, "grep", "-c", "^processor", "/proc/cpuinfo")


def test_processors_grow_and_shrink_live(daemon):
    daemon.create("web1")
    row = change(daemon, "web1", "cpu.count=4")["cpu.count"]
    assert (row["requested"], row["device"], row["guest"], row["state"]) == ("4", "4", "4", "applied")
    assert processors(daemon, "web1") == "4" and daemon.show("web1")["status"]["cpus"] == 4
    for count in ("1", "3", "2"):
        row = change(daemon, "web1", f"cpu.count={count}")["cpu.count"]
        assert row["guest"] == count and processors(daemon, "web1") == count
    # Emulated processors stay plugged until the next start: unplugging them would cost QEMU its life at the next reset.
    if daemon.show("web1")["status"]["accel"] == "tcg":
        assert row["state"] == "pending" and row["detail"] and daemon.show("web1")["status"]["pending"] == ["cpu.count"]
    daemon.guest("web1", "sh", "-c", "(sleep 1; reboot) > /dev/null 2>&1 &")
    wait_until(lambda: daemon.show("web1")["status"]["phase"] == "firmware", 30)
    daemon.hostler("wait", "web1", "agent")
    assert daemon.power("web1") == "running"
    daemon.hostler("restart", "web1", "--wait", "agent")
    assert processors(daemon, "web1") == "2" and daemon.show("web1")["status"]["pending"] == []


def test_memory_grows_and_shrinks_live(daemon):
    daemon.create("web1")
    small = memory(daemon, "web1")
    row = change(daemon, "web1", "memory.size=768M")["memory.size"]
    assert (row["requested"], row["device"], row["state"]) == ("768M", "768M", "applied")
    assert memory(daemon, "web1") > small + 480 * MIB and daemon.show("web1")["status"]["memory"] == 768 * MIB
    row = change(daemon, "web1", "memory.size=384M")["memory.size"]
    assert row["device"] == "384M" and small < memory(daemon, "web1") < small + 160 * MIB
    row = change(daemon, "web1", "memory.size=128M", "memory.boot=128M")
    assert row["memory.size"]["state"] == row["memory.boot"]["state"] == "pending"
    assert set(daemon.show("web1")["status"]["pending"]) == {"memory.size", "memory.boot"}


def test_a_disk_grows_live_and_never_shrinks(daemon):
    daemon.create("web1")
    row = change(daemon, "web1", "disk0.size=1G")["disk0.size"]
    assert (row["requested"], row["device"], row["guest"], row["state"]) == ("1G", "1G", "1G", "applied")
    assert int(daemon.guest("web1", "cat", "/sys/block/vda/size")) * 512 == 1024 * MIB
    assert "shrink" in daemon.refused(2, "set", "web1", "disk0.size=512M")
    daemon.hostler("stop", "web1")
    assert "shrink" in daemon.refused(2, "set", "web1", "disk0.size=512M")
    assert change(daemon, "web1", "disk0.size=2G")["disk0.size"]["state"] == "stored"
    daemon.hostler("start", "web1", "--wait", "agent")
    assert int(daemon.guest("web1", "cat", "/sys/block/vda/size")) * 512 == 2048 * MIB


def test_what_is_set_while_off_is_there_at_the_start(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    rows = change(daemon, "web1", "cpu.count=3", "memory.size=512M", "nic0.mac=52:54:00:aa:bb:cc", "nic1.model=e1000", "disk1.size=8M")
    assert {row["state"] for row in rows.values()} == {"stored"}
    daemon.hostler("start", "web1", "--wait", "agent")
    assert processors(daemon, "web1") == "3" and memory(daemon, "web1") > 300 * MIB
    assert daemon.guest("web1", "cat", "/sys/class/net/eth0/address") == "52:54:00:aa:bb:cc"
    assert daemon.guest("web1", "cat", "/sys/block/vdb/size") == str(8 * 2048)
    assert "0x8086" in daemon.guest("web1", "sh", "-c", "cat /sys/bus/pci/devices/*/vendor /sys/bus/pci/devices/*/device")
    assert "0x100e" in daemon.guest("web1", "sh", "-c", "cat /sys/bus/pci/devices/*/device")


def test_what_cannot_change_live_waits_for_the_next_start(daemon):
    daemon.create("web1")
    row = change(daemon, "web1", "nic0.mac=52:54:00:aa:bb:cc")["nic0.mac"]
    assert row["state"] == "pending" and row["detail"]
    assert daemon.show("web1")["status"]["pending"] == ["nic0.mac"]
    assert daemon.guest("web1", "cat", "/sys/class/net/eth0/address") != "52:54:00:aa:bb:cc"
    daemon.hostler("restart", "web1", "--wait", "agent")
    assert daemon.guest("web1", "cat", "/sys/class/net/eth0/address") == "52:54:00:aa:bb:cc"
    assert daemon.show("web1")["status"]["pending"] == []


def test_the_cable_out_and_in(daemon):
    daemon.create("web1", wait="ip")
    assert daemon.guest("web1", "cat", "/sys/class/net/eth0/carrier") == "1"
    assert change(daemon, "web1", "nic0.link=off")["nic0.link"]["state"] == "applied"
    assert daemon.guest("web1", "cat", "/sys/class/net/eth0/carrier") == "0"
    daemon.hostler("restart", "--hard", "web1", "--wait", "agent")
    assert daemon.guest("web1", "cat", "/sys/class/net/eth0/carrier") == "0"
    daemon.hostler("set", "web1", "nic0.link=on")
    wait_until(lambda: daemon.guest("web1", "cat", "/sys/class/net/eth0/carrier") == "1", 10)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port):
    """What the guest's web server says on this port of the host; None when nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /note HTTP/1.0\r\n\r\n")
            return connection.makefile("rb").read().decode().split("\r\n\r\n", 1)[1]
    except (OSError, IndexError):
        return None


def test_a_forwarded_port_reaches_a_listener_in_the_guest(daemon):
    cold, hot = free_port(), free_port()
    daemon.create("web1", f"nic0.forward=tcp:{cold}:80", wait="ip")
    daemon.guest("web1", "sh", "-c", "mkdir /tmp/www; echo from the guest > /tmp/www/note; httpd -h /tmp/www")
    wait_until(lambda: ask(cold) == "from the guest\n", 20)
    assert change(daemon, "web1", f"nic0.forward=tcp:{hot}:80")["nic0.forward"]["state"] == "applied"
    wait_until(lambda: ask(hot) == "from the guest\n", 20)
    assert ask(cold) is None
    # A port that is taken: said so, and nothing is changed.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "forward" in daemon.refused(1, "set", "web1", f"nic0.forward=tcp:{taken.getsockname()[1]}:80")
    assert daemon.show("web1")["spec"]["nic0"]["forward"] == [f"tcp:{hot}:80"]
    wait_until(lambda: ask(hot) == "from the guest\n", 20)
    daemon.hostler("set", "web1", "nic0.forward=")
    assert ask(hot) is None


def test_adapters_come_and_go_live(daemon):
    daemon.create("web1")
    daemon.hostler("set", "web1", "nic1.mac=52:54:00:00:00:77")
    wait_until(lambda: daemon.guest("web1", "sh", "-c", "cat /sys/class/net/*/address").count("52:54:00:00:00:77") == 1, 20)
    patch = daemon.folder / "patch.json"
    patch.write_text('{"nic1": null}')
    daemon.hostler("set", "web1", "-f", patch)
    wait_until(lambda: "52:54:00:00:00:77" not in daemon.guest("web1", "sh", "-c", "cat /sys/class/net/*/address"), 20)
    assert "nic1" not in daemon.show("web1")["spec"]


def test_set_of_what_is_so_already_and_of_one_part(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    generation = daemon.show("web1")["generation"]
    assert change(daemon, "web1", "cpu.count=1")["cpu.count"]["detail"]
    assert daemon.show("web1")["generation"] == generation
    daemon.hostler("set", "web1", "options.description=a, b and \"c\"")
    assert daemon.show("web1")["spec"]["options"]["description"] == "a, b and \"c\""
    assert daemon.json("show", "web1", "cpu")["count"] == 1
    assert "count" in daemon.hostler("show", "web1", "cpu")
    assert "nic0" in daemon.refused(3, "show", "web1", "nic7")


def test_a_dry_run_of_set_changes_nothing(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    before = daemon.show("web1")
    daemon.hostler("set", "web1", "cpu.count=4", "disk1.size=1G", "--dry-run")
    assert daemon.show("web1") == before and not list(daemon.state.glob("vms/*/disk1*"))


def test_one_of_many_with_the_same_generation_wins(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    generation = daemon.show("web1")["generation"]

    def one(number):
        return daemon.run("set", "web1", "--generation", generation, f"options.description=writer {number}").returncode

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        codes = list(pool.map(one, range(20)))
    assert sorted(codes) == [0] + 19 * [4]
    winner = codes.index(0)
    vm = daemon.show("web1")
    assert vm["spec"]["options"]["description"] == f"writer {winner}" and vm["generation"] == generation + 1


def test_rename_keeps_everything_else(daemon):
    before = daemon.create("web1")
    daemon.guest("web1", "sh", "-c", "echo kept > /root/kept")
    daemon.hostler("rename", "web1", "web2")
    after = daemon.show("web2")
    assert (after["id"], after["spec"], after["status"]["pid"]) == (before["id"], before["spec"], before["status"]["pid"])
    assert "web2" in daemon.refused(3, "show", "web1") and daemon.guest("web2", "cat", "/root/kept") == "kept"
    daemon.hostler("create", "web3", "--image", "tiny")
    assert "web3" in daemon.refused(4, "rename", "web2", "web3")
    daemon.refused(2, "rename", "web2", "Not A Name")
    daemon.hostler("stop", "--hard", after["id"])


def test_faults_of_a_running_vm_are_all_listed_and_nothing_changes(daemon):
    daemon.create("web1", wait="running")
    before = daemon.show("web1")
    problem = json.loads(daemon.refused(2, "set", "web1", "-o", "json", "cpu.count=0", "memory.size=1", "disk0.image=other"))
    assert {"/spec/cpu/count", "/spec/memory/size"} <= {cause["pointer"] for cause in problem["causes"]}
    for words in (("cpu.max=1", "cpu.count=2"), ("memory.max=64M",), ("disk0.image=other",), ("nic0.forward=tcp:0:22",),
                  ("nic0.forward=tcp:99999:22",), ("nic0.forward=tcp:2222:22,tcp:2222:23",), ("memory.size=100000001",)):
        assert "/spec/" in daemon.refused(2, "set", "web1", *words), words
    assert daemon.show("web1")["spec"] == before["spec"] and daemon.show("web1")["generation"] == before["generation"]
