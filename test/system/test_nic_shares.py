"""Adapters that share what their switch carries: by shares and reservations, measured where the frames arrive, and through resource pools."""
import json
import time

from harness import limit, wait_until
from test_switch import system_daemon

CAPACITY = 1500  # kbit/s; far less than a guest sends, on a busy host too


def row(daemon, name):
    done = daemon.run("explain", name, "-o", "json")
    rows = json.loads(done.stdout) if done.returncode == 0 else []
    return next((row for row in rows if row["resource"] == "nic0.rate_from_vm"), {})


def near(value, wanted):
    """Within what is not worth telling the switch, and what `sink` answers."""
    return value is not None and abs(value - wanted) <= 0.2 * wanted


def held_to(daemon, one, two):
    wait_until(lambda: near(row(daemon, "one").get("ceiling"), one) and near(row(daemon, "two").get("ceiling"), two), 60, f"{one} and {two}")


def rates(daemon, seconds=6):
    """kbit/s of both that arrive, as the guest's own kernel counts them."""
    def received():
        return [int(daemon.guest("sink", "cat", f"/sys/class/net/{device}/statistics/rx_bytes")) for device in ("eth0", "eth1")]
    before, began = received(), time.monotonic()
    time.sleep(seconds)
    return [(last - first) * 8 / 1000 / (time.monotonic() - began) for first, last in zip(before, received())]


def senders(daemon):
    """`one` and `two` send to `sink`, each in a VLAN of its own, as much as they can."""
    daemon.hostler("switch", "create", "lan")
    for group, vlan in (("a", 10), ("b", 20)):
        daemon.hostler("portgroup", "create", "lan", group, f"vlan={vlan}")
    daemon.create("sink", "memory.size=128M", "nic0.network=lan/a", "nic1.network=lan/b")
    for number, (name, group, device) in enumerate((("one", "a", "eth0"), ("two", "b", "eth1"))):
        daemon.create(name, "memory.size=128M", f"nic0.network=lan/{group}")
        daemon.guest(name, "ip", "link", "set", "eth0", "up")
        daemon.guest(name, "ip", "addr", "add", f"10.9.{number}.1/24", "dev", "eth0")
        daemon.guest("sink", "ip", "link", "set", device, "up")
        daemon.guest("sink", "ip", "addr", "add", f"10.9.{number}.2/24", "dev", device)
        daemon.guest("sink", "sh", "-c", f"(sleep 9999 | nc -l -p {9000 + number}) >/dev/null 2>&1 &")
        daemon.guest(name, "sh", "-c", f"while :; do nc 10.9.{number}.2 {9000 + number} </dev/zero; sleep 0.2; done >/dev/null 2>&1 &")


@limit(300)
def test_shares_and_reservation():
    with system_daemon() as daemon:
        senders(daemon)
        daemon.hostler("set", "one", "nic0.shares=high")
        wait_until(lambda: min(rates(daemon, 2)) > CAPACITY, 60, "both send more than there will be for them")
        assert not row(daemon, "one"), "nobody said what the switch carries"
        assert "nobody said" in daemon.refused(2, "set", "one", "nic0.reservation=1000")

        # Twice the shares, twice the rate, and together no more than the switch carries; TCP makes less of it, for what is too much is dropped.
        daemon.hostler("switch", "set", "lan", f"capacity={CAPACITY}")
        held_to(daemon, CAPACITY * 2 / 3, CAPACITY / 3)
        one, two = wait_until(lambda: sum(pair := rates(daemon)) < CAPACITY * 1.15 and pair, 60)
        assert 1.3 < one / two < 4 and one + two > CAPACITY * 0.2, f"shares 2:1 of {CAPACITY} gave {one:.0f} and {two:.0f}"
        told = row(daemon, "two")
        assert told["shares"] == 50 and told["unit"] == "kbit/s" and "50 of 250 shares" in told["reason"] and told["enforced"], told
        events = [event["data"] for event in daemon.json("event", "ls", "--object", "vm/two") if event["kind"] == "vm-allocation"]
        assert [event for event in events if event["resource"] == "nic0.rate_from_vm" and near(event.get("ceiling"), CAPACITY / 3)], events

        # What is reserved is kept, and not given twice.
        daemon.hostler("set", "two", "nic0.reservation=1100")
        held_to(daemon, 300, 1100)
        one, two = rates(daemon)
        assert two > 1100 * 0.2 and two > 1.5 * one and one < 300 * 1.3, f"1100 of {CAPACITY} were reserved: {one:.0f} and {two:.0f}"
        assert "two.nic0: 1100" in daemon.refused(6, "set", "one", "nic0.reservation=500")
        assert "more than its rate_from_vm" in daemon.refused(2, "set", "two", "nic0.rate_from_vm=1000")
        daemon.hostler("set", "two", "nic0.reservation=", "nic0.shares=high")

        # In a pool that counts as much as one adapter, an adapter counts so, whatever its own shares are.
        daemon.hostler("respool", "create", "lab", "nic_shares=300")
        daemon.hostler("set", "two", "options.respool=lab", "nic0.shares=low")
        held_to(daemon, CAPACITY / 4, CAPACITY * 3 / 4)
        told = row(daemon, "two")
        assert told["respool"] == "lab" and "300 of 500 shares" in told["reason"], told

        # When nobody knows any more what there is, nobody is held.
        daemon.hostler("switch", "set", "lan", "capacity=")
        wait_until(lambda: min(rates(daemon, 2)) > CAPACITY * 0.8 and not row(daemon, "one"), 60, "the ceilings are gone")
