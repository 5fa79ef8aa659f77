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


def changes(daemon):
    return [event["data"] for event in daemon.json("event", "ls") if event["kind"] == "balance-changed"]


def check_recommendations(daemon, here, small, big):
    """The mode `manual`: what is recommended is kept, follows what changes by itself, and outlives the daemon."""
    path = daemon.folder / "hosts.json"
    assert daemon.json("balance", "show")["mode"] == "off" and daemon.json("balance", "ls") == []
    assert "balance manual" in daemon.refused(4, "balance", "run")
    assert "nobody has described" in daemon.refused(2, "balance", "manual")
    assert "no VM can be migrated" in daemon.refused(1, "balance", "auto")
    path.write_text(json.dumps([big, big]))
    daemon.refused(2, "balance", "manual", "--hosts", str(path))
    path.write_text(json.dumps([small, big]))
    state = daemon.json("balance", "manual", "--hosts", str(path), "--every", "2s")
    assert state["mode"] == "manual" and state["moves"], state
    kept = daemon.json("balance", "ls")[0]
    assert kept["to"] == "big" and kept["from"] == here and kept["reason"] and kept["since"] and "processors instead of" in kept["why"], kept
    assert changes(daemon)[-1]["count"] == len(state["moves"]) and "to big" in changes(daemon)[-1]["moves"]

    # It plans by itself: a rule that forbids the move ends the recommendation, without a word from here.
    daemon.hostler("rule", "create", "here", "--kind", "only-on", "--vms", "one,two", "--hosts", here)
    wait_until(lambda: daemon.json("balance", "ls") == [], 30, "nothing is recommended that a rule forbids")
    assert changes(daemon)[-1]["count"] == 0
    daemon.hostler("rule", "rm", "here")
    wait_until(lambda: daemon.json("balance", "ls"), 30, "what is not forbidden any more is recommended again")

    # Rules that contradict each other are told once, and a plan cannot be made.
    daemon.hostler("rule", "create", "pair", "--kind", "apart", "--vms", "one,two")
    daemon.hostler("rule", "create", "both", "--kind", "together", "--vms", "one,two")
    wait_until(lambda: "contradict" in daemon.json("balance", "show").get("fault", ""), 30, "contradictory rules are told")
    daemon.refused(2, "balance", "run")
    for name in ("pair", "both"):
        daemon.hostler("rule", "rm", name)

    daemon.restart()
    state = daemon.json("balance", "show")
    assert state["mode"] == "manual" and state["every"] == 2000 and {host["name"] for host in state["hosts"]} == {here, "big"}, state
    daemon.hostler("balance", "off")
    assert daemon.json("balance", "ls") == [] and changes(daemon)[-1]["mode"] == "off"
    assert daemon.json("balance", "show")["mode"] == "off"


@limit(300)
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

    check_recommendations(daemon, here, small, big)

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
