"""Where VMs would best run: forecasts of guests that compute, on hosts that somebody describes, within rules."""
import json
import socket

from harness import limit, wait_until
from test_allocation import BUSY

GIB = 1 << 30


def plan(daemon, hosts=None, *words):
    if hosts is not None:
        path = daemon.folder / "hosts.json"
        path.write_text(json.dumps(hosts))
        words = ("--hosts", str(path), *words)
    return daemon.json("balance", "plan", *words)


def on(told, host):
    return next(row for row in told["hosts"] if row["name"] == host).get("vms", [])


@limit(200)
def test_plan(daemon):
    here, big = socket.gethostname(), {"name": "big", "cpus": 8, "memory": 8 * GIB}
    assert "no VM runs" in plan(daemon)["advice"]
    for name in ("one", "two"):
        daemon.create(name, "memory.size=128M")
        daemon.guest(name, "sh", "-c", BUSY)

    def both_are_known():
        told = plan(daemon)
        return told["samples"] >= 3 and told["hosts"][0]["expected_after"] > 1.2 and told

    told = wait_until(both_are_known, 60, "three samples of two guests that want a processor each")
    assert told["moves"] == [] and "one host" in told["advice"] and sorted(on(told, here)) == ["one", "two"], told
    assert told["hosts"][0]["cpus"] > 0, told

    # This host with one processor cannot carry both; each move says what both hosts will carry.
    small = {"name": here, "cpus": 1, "memory": 4 * GIB, "idle_watts": 10, "full_watts": 20}
    told = plan(daemon, [small, big])
    assert told["moves"] and {move["to"] for move in told["moves"]} == {"big"}, told
    move = told["moves"][0]
    assert move["from"] == here and "processors instead of" in move["why"] and move["seconds"] > 0 and move["reason"], move
    assert told["cpu_price"] > 0 and "moves" in told["advice"]
    after = {row["name"]: row for row in told["hosts"]}
    assert after["big"]["expected_after"] > 0.6 and after[here]["expected_before"] > 1.2

    # Rules are kept, and one that another contradicts is told with it.
    daemon.hostler("rule", "create", "pair", "--kind", "apart", "--vms", "one,two")
    told = plan(daemon, [{**small, "cpus": 8}, big])
    assert len(on(told, here)) == len(on(told, "big")) == 1, told
    daemon.hostler("rule", "create", "stay", "--kind", "only-on", "--vms", "two", "--hosts", here)
    assert on(plan(daemon, [{**small, "cpus": 8}, big]), "big") == ["one"]
    daemon.hostler("rule", "create", "both", "--kind", "together", "--vms", "one,two")
    said = daemon.refused(2, "balance", "plan")
    assert "pair" in said and "both" in said, said
    daemon.hostler("rule", "rm", "both")
    daemon.hostler("rule", "rm", "stay")
    assert [rule["vms"] for rule in daemon.json("rule", "ls")] == [["one", "two"]]
    daemon.hostler("rule", "rm", "pair")

    # What if this host were to be emptied?
    told = plan(daemon, [{**small, "maintenance": True}, big])
    assert sorted(on(told, "big")) == ["one", "two"] and {move["reason"] for move in told["moves"]} <= {"maintenance", "pack"}, told
    assert "there is one host" in daemon.hostler("balance", "plan")

    daemon.refused(2, "rule", "create", "odd", "--kind", "apart", "--vms", "one")
    daemon.refused(2, "rule", "create", "odd", "--kind", "only-on", "--vms", "one")
    daemon.refused(3, "rule", "create", "odd", "--kind", "apart", "--vms", "one,nosuch")
    daemon.refused(3, "rule", "rm", "nosuch")
    path = daemon.folder / "hosts.json"
    for wrong in ('[{"name": "x"}]', "{", '[{"name": "x", "cpus": 1, "memory": "4G"}, {"name": "x", "cpus": 1, "memory": "4G"}]', '[{"name": "x", "cpus": -1, "memory": "4G"}]'):
        path.write_text(wrong)
        daemon.refused(2, "balance", "plan", "--hosts", str(path))
