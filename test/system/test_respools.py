"""Resource pools: what pools get is divided among their VMs, whatever their number, and what is reserved in a pool is kept there."""
from harness import limit, skip, wait_until
from test_allocation import BUSY, bound_all, explain, group_of, measure

ALL = 0.4  # processors for all together: so few that they have them on a busy machine, too


def measure_full(pids):
    """What each had in a time in which all together had what there is for them."""
    return wait_until(lambda: sum(used := measure(pids, 6)) > 0.93 * ALL and used, 120, "the host gives them what they may have")


def boot_three(daemon):
    for name in ("one", "two", "three"):
        daemon.create(name, "memory.size=128M", f"options.respool={'gold' if name == 'one' else 'small'}")
    check = next(check for check in daemon.json("doctor") if check["name"] == "allocation")
    if not check["ok"]:
        skip(check["detail"])
    pids = [daemon.show(name)["status"]["pid"] for name in ("one", "two", "three")]
    wait_until(lambda: all(group_of(pid).parent.name.startswith("pool-") for pid in pids), what="they are in their pools' groups")
    for name in ("one", "two", "three"):
        daemon.guest(name, "sh", "-c", BUSY)
    return pids


@limit(400)
def test_pools_share(daemon):
    daemon.hostler("respool", "create", "gold", "cpu_shares=high")
    daemon.hostler("respool", "create", "silver")
    daemon.hostler("respool", "create", "small", "parent=silver")
    one, two, three = pids = boot_three(daemon)
    top = group_of(one).parent.parent
    assert top.name.startswith("hostler-") and group_of(two).parent.parent.parent == top, "groups are as the pools are"

    # 2:1 between the pools, though there are two guests in the smaller one; they share alike.
    bound_all(top, ALL)
    wait_until(lambda: all("ceiling" in explain(daemon, name) for name in ("one", "two", "three")), 60, "all are short")
    wait_until(lambda: abs(explain(daemon, "one")["granted"] / explain(daemon, "two")["granted"] - 4) < 0.4, 60)
    used = measure_full(pids)
    assert 1.7 < used[0] / (used[1] + used[2]) < 2.3, f"pools 2:1 gave {used}"
    assert 0.8 < used[1] / used[2] < 1.25, used
    told = explain(daemon, "two")
    assert told["respool"] == "silver/small" and "1000 of 2000 shares in small" in told["reason"], told
    assert "silver" in told["reason"] and "4000 of 12000 shares" in told["reason"], told

    # One moves at once, and takes its part of another pool from then on.
    daemon.hostler("set", "three", "options.respool=gold")
    wait_until(lambda: group_of(three).parent == group_of(one).parent, 20)
    wait_until(lambda: abs(explain(daemon, "two")["granted"] / explain(daemon, "one")["granted"] - 1) < 0.15, 60)
    assert explain(daemon, "three")["respool"] == "gold"

    # A limit holds for all in it together.
    daemon.hostler("respool", "set", "gold", "cpu_limit=10")
    wait_until(lambda: abs(explain(daemon, "one").get("ceiling", 0) - 0.05) < 0.015, 60)
    used = measure_full(pids)
    assert used[0] + used[2] < 0.1 * 1.1 and used[1] > 0.25, f"a limit of 10 % for two: {used}"
    shown = daemon.json("respool", "show", "gold")
    assert shown["vms"] == ["one", "three"] and shown["cpu_granted"] == 0.1 and shown["cpu_demand"] > 0.1, shown

    # The next daemon finds groups and settings, and groups go with those who were in them.
    daemon.restart(kill=True)
    wait_until(lambda: explain(daemon, "two").get("enforced"))
    assert group_of(two).parent.name == "pool-small" and daemon.json("respool", "show", "small")["path"] == "silver/small"
    assert "two" in daemon.refused(4, "respool", "rm", "small") and "small" in daemon.refused(4, "respool", "rm", "silver")
    gone = group_of(two).parent.parent
    daemon.hostler("stop", "--hard", "two")
    wait_until(lambda: not gone.exists(), what="the groups of pools in which nobody runs")
    daemon.hostler("set", "two", "options.respool=")
    daemon.hostler("respool", "rm", "small")
    daemon.hostler("respool", "rm", "silver")
    assert [pool["name"] for pool in daemon.json("respool", "ls")] == ["gold"]
    daemon.hostler("stop", "--hard", "one", "three")
    daemon.stop()
    assert not top.exists(), "the groups are removed"


def test_admission_in_pools(daemon):
    daemon.hostler("respool", "create", "lab", "cpu_reservation=60", "cpu_expandable=false", "memory_reservation=256M")
    daemon.hostler("respool", "create", "desk", "parent=lab")
    for name in ("one", "two"):
        daemon.hostler("create", name, "--image", "tiny", "memory.size=128M", "cpu.reservation=40", "options.respool=desk")
    daemon.hostler("start", "one")
    # `desk` asks `lab`, which may not ask the host.
    said = daemon.refused(6, "start", "two")
    assert "the resource pool lab has 60 % of a processor" in said and "most by desk: 40 %" in said, said
    assert daemon.json("respool", "show", "lab")["cpu_reserved"] == 40
    said = daemon.refused(6, "respool", "set", "lab", "cpu_reservation=30")
    assert "lab has 30 %" in said, said
    daemon.hostler("respool", "set", "lab", "cpu_expandable=true")
    daemon.hostler("start", "two")
    # What a pool reserves is kept for it, whoever runs in it.
    daemon.refused(6, "respool", "create", "huge", "cpu_reservation=25500")
    daemon.refused(2, "respool", "create", "odd", "cpu_reservation=50", "cpu_limit=40")
    daemon.refused(2, "respool", "set", "lab", "parent=desk")
    daemon.refused(2, "respool", "create", "odd", "parent=nosuch")
    daemon.refused(2, "set", "one", "options.respool=nosuch")
    daemon.refused(4, "respool", "create", "lab")
    daemon.refused(3, "respool", "show", "nosuch")
