"""What must not get in: refused at the gate, in words, and nothing of it reaches QEMU or the disk."""
import contextlib
import json
import socket
import time

from api import Api, Problem

BAD_NAMES = ("", "A", "web_1", "-x", "x-", ".", "..", "../x", "a/b", "a,b", "a b", "a\nb", "a\x01b", "é", "x" * 64, "a%00b", "a;b", "$(id)")
GOOD_NAMES = ("a", "0", "a.b", "a-b", "x" * 63)


def refusal(api, method, path, body):
    """(status, problem document) of a request that must be refused."""
    try:
        api.call(method, path, body)
    except Problem as problem:
        assert problem.body.get("code") and problem.body.get("title") and problem.body.get("detail"), problem
        return problem.status, problem.body
    raise AssertionError(f"{method} {path} {str(body)[:200]} was accepted")


def test_names(daemon):
    api = Api(daemon.socket)
    for name in BAD_NAMES:
        status, problem = refusal(api, "POST", "/v1/vms", {"name": name, "image": "tiny"})
        assert status == 422 and problem["causes"][0]["pointer"] == "/name", name
    for name in ("A", "a b", "a,b", "a\nb", "../x"):
        assert "name" in daemon.refused(2, "create", name, "--image", "tiny")
    for name in GOOD_NAMES:
        daemon.hostler("create", name, "--image", "tiny")
        daemon.hostler("rm", "--now", name)
    assert daemon.json("ls") == [] and not list((daemon.state / "vms").iterdir())


def test_specs_have_every_fault_listed(daemon):
    api = Api(daemon.socket)
    spec = {"cpu": {"count": 0, "model": "a,b"}, "memory": {"size": "huge"}, "disk0": {"serial": "x,file=/etc/passwd"},
            "nic0": {"mac": "01:00:00:00:00:00", "forward": ["tcp:1:2:3"]}, "boot": {"cmdline": "a\nb"}, "nonsense": {"a": 1}}
    status, problem = refusal(api, "POST", "/v1/vms", {"name": "web1", "image": "tiny", "spec": spec})
    pointers = {cause["pointer"] for cause in problem["causes"]}
    for pointer in ("/spec/cpu/count", "/spec/cpu/model", "/spec/memory/size", "/spec/disk0/serial", "/spec/nic0/mac",
                    "/spec/nic0/forward/0", "/spec/boot/cmdline"):
        assert pointer in pointers, (pointer, pointers)
    assert any(pointer.startswith("/spec/nonsense") for pointer in pointers)
    assert status == 422 and problem["code"] == "invalid"
    assert daemon.json("ls") == [] and daemon.json("job", "ls") == []


def test_numbers_out_of_range_never_reach_qemu(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    before = daemon.show("web1")
    for word in ("cpu.count=-1", "cpu.count=0", "cpu.count=256", "cpu.count=99999999999999999999", "cpu.count=1.5", "cpu.count=0x10",
                 "cpu.max=256", "memory.size=0", "memory.size=63M", "memory.size=-1", "memory.size=17T", "memory.size=67108865",
                 "memory.boot=1K", "disk0.size=-1", "disk0.size=1E", "disk1.size=513", "disk1.size=0", "nic0.mac=zz",
                 "nic0.mac=ff:ff:ff:ff:ff:ff", "nic0.forward=tcp:65536:1", "nic0.forward=icmp:1:1", "disk0.model=floppy", "cpu.count=",
                 "cpu=4", "cpu.=4", ".count=4", "cpu.cuont=4", "nic0.link=perhaps", "boot.cmdline=" + "x" * 2001):
        done = daemon.run("set", "web1", word)
        assert done.returncode == 2 or (word.endswith("=") and done.returncode == 0), (word, done)
    assert daemon.show("web1")["spec"] == before["spec"]


def test_unknown_things_are_exit_3_with_near_names(daemon):
    daemon.hostler("create", "web10", "--image", "tiny")
    for command in (("show", "web1"), ("start", "web1"), ("stop", "web1"), ("set", "web1", "cpu.count=2"), ("disk", "ls", "web1"),
                    ("exec", "web1", "--", "true"), ("console", "web1", "--log"), ("wait", "web1", "off"), ("rename", "web1", "x"),
                    ("rm", "web1"), ("pause", "web1"), ("suspend", "web1")):
        assert "web10" in daemon.refused(3, *command), command
    assert "tiny" in daemon.refused(3, "image", "show", "tin")
    daemon.refused(3, "undelete", "web10")


def test_command_lines_that_mean_nothing_are_exit_2(daemon):
    for command in (("strat", "web1"), ("start",), ("create",), ("start", "web1", "--no-such-flag"), ("stop", "web1", "--timeout", "soon"),
                    ("ls", "-o", "xml"), ("disk",), ("create", "x", "--cpus", "many"), ("show", "a", "b", "c")):
        assert "hostler" in daemon.refused(2, *command), command
    assert daemon.run("help").returncode == 0 and daemon.run("--help").returncode == 0 and daemon.run("version").returncode == 0


def raw(daemon, data, timeout=20):
    """The status line that answers these bytes; "" when the connection is only closed."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(daemon.socket))
        with contextlib.suppress(BrokenPipeError):
            connection.sendall(data)
        try:
            return connection.recv(65536).decode(errors="replace").split("\r\n")[0]
        except ConnectionResetError:
            return ""


def post(body, length=None):
    return (f"POST /v1/vms HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
            f"{len(body) if length is None else length}\r\n\r\n").encode() + body


def test_requests_that_are_too_much(daemon):
    assert " 413" in raw(daemon, post(b'{"name":"' + b"x" * (1 << 20) + b'"}'))
    assert raw(daemon, post(b"", 1 << 40)).split(" ")[1:2] in ([], ["413"], ["400"])
    assert raw(daemon, post(b'{"a":' * 40 + b"1" + b"}" * 40)).split(" ")[1] in ("400", "413", "422")
    for body in (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"name":"a","name":"b"}', b'{"name":1}', b'{"name":"a"} x'):
        assert raw(daemon, post(body)).split(" ")[1] in ("400", "422"), body
    assert raw(daemon, b"\x00\x01garbage\r\n\r\n").split(" ")[1:2] in ([], ["400"])
    assert raw(daemon, b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n").split(" ")[1:2] in ([], ["400"], ["404"], ["414"])
    for path in ("/v1/../../etc/passwd", "/v1/vms/..%2f..%2fetc", "/v1/vms/%00", "/v1/nothing"):
        assert raw(daemon, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()).split(" ")[1] in ("400", "404", "422"), path
    assert daemon.json("ls") == []


def test_a_slow_client_holds_up_nobody_and_is_cut_off(daemon):
    slow = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for connection in slow:
        connection.connect(str(daemon.socket))
        connection.sendall(b"POST /v1/vms HTTP/1.1\r\nHost: localhost\r\nContent-Le")
    began = time.monotonic()
    assert daemon.json("ls") == [] and time.monotonic() - began < 2
    slow[0].settimeout(90)
    answer = slow[0].recv(4096).decode()
    assert answer == "" or " 408" in answer, answer
    for connection in slow:
        connection.close()


def test_problems_as_json_are_problem_documents(daemon):
    problem = json.loads(daemon.refused(3, "show", "nobody", "-o", "json"))
    assert problem["code"] == "not-found" and problem["status"] == 404 and problem["title"] and problem["detail"]
