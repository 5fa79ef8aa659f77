"""The daemon is killed at random moments, again and again, while several clients create, change, run and remove VMs.

Each client knows what its own VMs should be: it does one thing at a time to each, under an idempotency key, asks again with the same key
when the connection breaks, and takes only what was answered for true. Afterwards all of it must be so, and nothing may be left over.
"""
import http.client
import os
import random
import threading
import time

from api import Api
from crash import SMALL, all_events, check_whole
from harness import Daemon, limit

KILLS = int(os.environ.get("HOSTLER_CRASHES", "200"))
CLIENTS = 4
VMS_PER_CLIENT = 3
LONGEST_LIFE_S = 0.9
BROKEN = (OSError, http.client.HTTPException)

# verb: (needs one of these powers, leaves this power)
VERBS = {
    "start": ({"off", "suspended"}, "running"),
    "stop": ({"running", "paused", "suspended"}, "off"),
    "pause": ({"running"}, "paused"),
    "resume": ({"paused", "suspended"}, "running"),
    "suspend": ({"running", "paused"}, "suspended"),
}


class Client(threading.Thread):
    """Works on VMs of its own until it is told to end; `error` is what went wrong."""

    def __init__(self, number, socket):
        super().__init__(name=f"client{number}")
        self.random = random.Random(number)
        self.api = Api(socket)
        self.model = {f"r{number}x{index}": None for index in range(VMS_PER_CLIENT)}  # name → None or {"power", "count"}
        self.answered = {}  # key → id of the job
        self.keys = 0
        self.over = threading.Event()
        self.error = None

    def run(self):
        try:
            while not self.over.is_set():
                self.act(self.random.choice(list(self.model)))
        except Exception as error:
            self.error = error

    def act(self, name):
        vm = self.model[name]
        if vm is None:
            return self.do(name, "POST", "/v1/vms", {"name": name, "spec": SMALL}, {"power": "off", "count": 1})
        if vm["power"] is None:
            return self.do(name, "POST", f"/v1/vms/{name}/stop", {"hard": True}, vm | {"power": "off"})
        verb = self.random.choice(["set", "rm", *(verb for verb, (needs, _) in VERBS.items() if vm["power"] in needs)])
        if verb == "rm" and self.random.random() < 0.3:
            return self.do(name, "DELETE", f"/v1/vms/{name}?now=true&yes=true", None, None)
        if verb in ("set", "rm"):
            count = self.random.randint(vm["count"], 3)
            return self.do(name, "PATCH", f"/v1/vms/{name}", {"spec": {"cpu": {"count": count}}}, vm | {"count": count})
        return self.do(name, "POST", f"/v1/vms/{name}/{verb}", {"hard": True} if verb == "stop" else {}, vm | {"power": VERBS[verb][1]})

    def do(self, name, method, path, body, after):
        """One verb, to its end. What a job that a crash has ended as failed left is looked at; its power is to be settled by a stop."""
        self.keys += 1
        key = f"{self.name}/{self.keys}"
        job = self.insist(method, path, body, key)
        if self.random.random() < 0.2:
            again = self.insist(method, path, body, key)
            assert again["id"] == job["id"], f"{key}: {again} is not {job}"
        self.answered[key] = job["id"]
        while job["state"] in ("queued", "running"):
            job = self.insist("GET", f"/v1/jobs/{job['id']}?wait=5s")
        self.model[name] = after if job["state"] == "done" else self.look(name)

    def look(self, name):
        vm = next((vm for vm in self.insist("GET", "/v1/vms") if vm["name"] == name), None)
        return vm and {"power": None, "count": vm["spec"]["cpu"]["count"]}

    def insist(self, method, path, body=None, key=None):
        end = time.monotonic() + 60
        while True:
            try:
                return self.api.call(method, path, body, {"Idempotency-Key": key} if key else None)
            except BROKEN:
                assert time.monotonic() < end, f"no answer to {method} {path}"
                time.sleep(0.005)


def kill_again_and_again(daemon, clients):
    for _ in range(KILLS):
        time.sleep(random.uniform(0, LONGEST_LIFE_S))
        assert daemon.process.poll() is None, f"hostlerd ended by itself with {daemon.process.returncode}"
        daemon.kill()
        daemon.spawn()
        broken = [client for client in clients if client.error]
        if broken:
            raise broken[0].error


@limit(400)
def test_random_kills():
    with Daemon(images=()) as daemon:
        clients = [Client(number, daemon.socket) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            kill_again_and_again(daemon, clients)
        finally:
            for client in clients:
                client.over.set()
            for client in clients:
                client.join()
        for client in clients:
            if client.error:
                raise client.error
        check_all(daemon, clients)


def check_all(daemon, clients):
    vms = {vm["name"]: vm for vm in check_whole(daemon).values()}
    for client in clients:
        for name, wanted in client.model.items():
            vm = vms.get(name)
            got = vm and {"power": wanted and wanted["power"] and vm["status"]["power"], "count": vm["spec"]["cpu"]["count"]}
            assert got == wanted, f"{name} is {got} and should be {wanted}"
    check_jobs(daemon, clients)
    numbers = [event["seq"] for event in all_events(daemon)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "event numbers have a gap or a duplicate"
    actions = sum(len(client.answered) for client in clients)
    print(f"{KILLS} kills, {actions} jobs, {len(numbers)} events")
    assert actions >= KILLS, f"only {actions} jobs in {KILLS} lives of the daemon"


def check_jobs(daemon, clients):
    """Every job that was answered is there and has ended; its key still gives it."""
    api = Api(daemon.socket)
    for client in clients:
        for key, number in client.answered.items():
            job = api.call("GET", f"/v1/jobs/{number}")
            assert job["state"] in ("done", "failed", "cancelled"), job
    ids = [number for client in clients for number in client.answered.values()]
    assert len(ids) == len(set(ids)), "two keys, one job"
