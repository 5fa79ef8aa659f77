"""Disks that share what their pool can do: by shares, measured inside the guests, and let go when nobody else wants anything."""
import json
import time

from harness import limit, wait_until

READ = "while :; do dd if=/dev/vda of=/dev/null bs=4096 count=4096 iflag=direct 2>/dev/null; done >/dev/null 2>&1 & echo $! > /tmp/reader"
IOPS = 120


def rows(daemon, name):
    done = daemon.run("explain", name, "-o", "json")
    return {row["resource"]: row for row in json.loads(done.stdout)} if done.returncode == 0 else {}


def ceiling(daemon, name, resource="disk0.iops"):
    return rows(daemon, name).get(resource, {}).get("ceiling")


def near(ceiling, wanted):
    """Within what is not worth telling QEMU."""
    return ceiling is not None and abs(ceiling - wanted) <= 0.12 * wanted


def reads(daemon, name):
    """Requests that the guest's own kernel has counted."""
    return int(daemon.guest(name, "cat", "/sys/block/vda/stat").split()[0])


def rates(daemon, names, seconds=6):
    before, began = [reads(daemon, name) for name in names], time.monotonic()
    time.sleep(seconds)
    after = [reads(daemon, name) for name in names]
    return [(last - first) / (time.monotonic() - began) for first, last in zip(before, after)]


@limit(300)
def test_shares(daemon):
    for name in ("one", "two"):
        daemon.create(name, "memory.size=128M")
    daemon.hostler("set", "one", "disk0.shares=high")
    for name in ("one", "two"):
        daemon.guest(name, "sh", "-c", READ)
    wait_until(lambda: min(rates(daemon, ("one", "two"), 2)) > IOPS, 60, "both read much more than there will be for them")
    assert ceiling(daemon, "one") is None and "disk0.iops" not in rows(daemon, "one"), "nobody said what the disk can do"

    # Twice the shares, twice the requests, and together what there is.
    told = daemon.json("pool", "capacity", "default", "--iops", str(IOPS))
    assert told == {"pool": "default", "iops": IOPS}, told
    wait_until(lambda: near(ceiling(daemon, "one"), IOPS * 2 / 3) and near(ceiling(daemon, "two"), IOPS / 3), 60, "both are short")
    one, two = wait_until(lambda: sum(pair := rates(daemon, ("one", "two"))) < IOPS * 1.1 and pair, 60)
    assert 1.7 < one / two < 2.3 and one + two > IOPS * 0.85, f"shares 2:1 of {IOPS} gave {one:.0f} and {two:.0f}"
    row = rows(daemon, "two")["disk0.iops"]
    assert row["shares"] == 1000 and near(row["granted"], IOPS / 3) and "1000 of 3000 shares" in row["reason"] and row["enforced"], row
    events = [event["data"] for event in daemon.json("event", "ls", "--object", "vm/two") if event["kind"] == "vm-allocation"]
    assert [event for event in events if event["resource"] == "disk0.iops" and near(event.get("ceiling"), IOPS / 3)], events

    # In a pool within a pool: what the upper one counts, its disks count together, whatever their own shares are.
    daemon.hostler("respool", "create", "shop", "disk_shares=3000")
    daemon.hostler("respool", "create", "web", "parent=shop")
    daemon.hostler("set", "two", "options.respool=web", "disk0.shares=low")
    wait_until(lambda: near(ceiling(daemon, "one"), IOPS * 2 / 5) and near(ceiling(daemon, "two"), IOPS * 3 / 5), 60)
    one, two = rates(daemon, ("one", "two"))
    assert 1.25 < two / one < 1.8, f"shares 2000:3000 of {IOPS} gave {one:.0f} and {two:.0f}"
    row = rows(daemon, "two")["disk0.iops"]
    assert row["respool"] == "shop/web" and "shop" in row["reason"] and "3000 of 5000 shares" in row["reason"], row
    daemon.hostler("set", "two", "options.respool=", "disk0.shares=")

    # A limit of its own stays one, and what it leaves is the other's.
    daemon.hostler("set", "one", "disk0.iops=20")
    wait_until(lambda: (ceiling(daemon, "two") or 0) > IOPS * 0.75, 60)
    one, two = rates(daemon, ("one", "two"))
    assert one < 20 * 1.2 and two > IOPS * 0.65, f"limited to 20 of {IOPS}: {one:.0f} and {two:.0f}"
    daemon.hostler("set", "one", "disk0.iops=")

    # The next daemon goes on; who is alone has all there is, and when nobody knows what there is, nobody is held.
    daemon.restart(kill=True)
    daemon.hostler("stop", "--hard", "one")
    wait_until(lambda: near(ceiling(daemon, "two"), IOPS), 60)
    daemon.hostler("pool", "capacity", "default", "--iops", "0")
    wait_until(lambda: rates(daemon, ("two",), 2)[0] > IOPS * 2, 60, "the ceiling is gone")
    daemon.refused(3, "pool", "capacity", "nosuch", "--iops", "5")
    daemon.refused(2, "set", "two", "disk0.shares=0")
