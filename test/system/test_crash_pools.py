"""The daemon is killed after each step of the verbs on volumes: afterwards there is all of it or nothing."""
import shutil

from crash import api_of, ask_again, check_whole, make, names_in
from harness import Daemon
from test_crash_steps import newest_job, run_to_crash

MIB = 1 << 20
CRASHED_BY_HAND = ("volume.create", "volume.import", "volume.grow", "volume.export", "volume.rm")


class Verb:
    """@request: (method, path, body). @prepare and @there look at the daemon: is it as the verb leaves it? @before: as it was."""

    def __init__(self, name, request, there, prepare=lambda daemon: None, before=None, again=None, clean=lambda daemon: None):
        self.name, self.request, self.there, self.prepare = name, request, there, prepare
        self.before, self.again, self.clean = before or (lambda daemon: not there(daemon)), again, clean


def points_of(daemon, verb):
    verb.prepare(daemon)
    api_of(daemon).job(*verb.request)
    job = newest_job(daemon, verb.name)
    assert verb.there(daemon), verb.name
    verb.clean(daemon)
    return [step["name"] for step in job["steps"]] + ["@end"]


def crash_everywhere(daemon, verb):
    for point in points_of(daemon, verb):
        verb.prepare(daemon)
        daemon.kill()
        daemon.start(environment={"HOSTLER_CRASH_AT": f"{verb.name}:{point}"})
        assert run_to_crash(daemon, verb.request), f"{verb.name} has not come to {point}"
        daemon.start()
        check(daemon, verb, f"{verb.name} after a crash at {point}")
        verb.clean(daemon)


def check(daemon, verb, where):
    check_whole(daemon)
    job = newest_job(daemon, verb.name)
    done = job["state"] == "done"
    assert verb.there(daemon) if done else verb.before(daemon), f"{where}: {job}"
    strays = [path for path in daemon.folder.rglob("*") if path.name.endswith(".hostler-partial") or (path.parent.name == "volumes" and path.name.startswith("."))]
    assert not strays, f"{where}: {strays}"
    ask_again(daemon, verb.request, verb.again if done else None, where)
    assert verb.there(daemon), f"{where}: asked for again it is not as it should be"


def folder_of(daemon):
    return daemon.folder / "fast"


def has_pool(daemon):
    return "fast" in {pool["name"] for pool in api_of(daemon).call("GET", "/v1/pools")}


def make_pool(daemon):
    if not has_pool(daemon):
        api_of(daemon).job("POST", "/v1/pools", {"pool": "fast", "path": str(folder_of(daemon))})


def unattached(daemon):
    return {path.name: path.stat().st_size for path in (folder_of(daemon) / "volumes").glob("*")}


def make_volume(daemon, name="a"):
    make_pool(daemon)
    if f"{name}.raw" not in unattached(daemon):
        api_of(daemon).job("POST", "/v1/pools/fast/volumes", {"volume": name, "size": MIB, "format": "raw"})


def remove_volumes(daemon):
    for name in unattached(daemon):
        api_of(daemon).job("DELETE", f"/v1/pools/fast/volumes/{name}")


def test_volumes():
    with Daemon(images=()) as daemon:
        folder_of(daemon).mkdir()
        source, target = daemon.folder / "source.img", daemon.folder / "target.img"
        source.write_bytes(b"x" * 2 * MIB)
        make_pool(daemon)
        volumes = "/v1/pools/fast/volumes"
        for verb in (
            Verb("volume.create", ("POST", volumes, {"volume": "a", "size": MIB, "format": "raw"}), lambda d: unattached(d) == {"a.raw": MIB},
                 prepare=make_pool, before=lambda d: unattached(d) == {}, again="exists", clean=remove_volumes),
            Verb("volume.import", ("POST", f"{volumes}/a/import", {"file": str(source), "from": "raw", "format": "raw"}),
                 lambda d: unattached(d) == {"a.raw": 2 * MIB} and (folder_of(d) / "volumes" / "a.raw").read_bytes() == source.read_bytes(),
                 prepare=make_pool, before=lambda d: unattached(d) == {}, again="exists", clean=remove_volumes),
            Verb("volume.grow", ("POST", f"{volumes}/a/grow", {"size": 4 * MIB}), lambda d: unattached(d) == {"a.raw": 4 * MIB},
                 prepare=make_volume, clean=remove_volumes),
            Verb("volume.export", ("POST", f"{volumes}/a/export", {"file": str(target), "format": "raw"}), lambda d: target.exists() and target.stat().st_size == MIB,
                 prepare=make_volume, before=lambda d: not target.exists(), again="exists", clean=lambda d: target.unlink()),
            Verb("volume.rm", (("DELETE", f"{volumes}/a", None)), lambda d: unattached(d) == {}, prepare=make_volume, again="not-found"),
        ):
            crash_everywhere(daemon, verb)


def test_a_volume_is_given_and_kept():
    """Where it lies says whose it is: at each moment it is in one place, with its contents."""
    with Daemon(images=()) as daemon:
        folder_of(daemon).mkdir()
        make_pool(daemon)
        make(daemon, "vm", start=False)
        vm = daemon.show("vm")["id"]
        place = folder_of(daemon) / vm / "more.raw"
        kept = f"vm-{vm[:8]}-more.raw"

        def prepare(d):
            make_volume(d)
            (folder_of(d) / "volumes" / "a.raw").write_bytes(b"mine" * (MIB // 4))

        def attached(d):
            return unattached(d) == {} and place.exists() and place.read_bytes() == b"mine" * (MIB // 4) and "more" in d.show("vm")["spec"]

        def detached(d):
            return not place.exists() and unattached(d) == {kept: MIB} and (folder_of(d) / "volumes" / kept).read_bytes() == b"mine" * (MIB // 4) \
                and "more" not in d.show("vm")["spec"]

        def detach(d):
            api_of(d).job("DELETE", "/v1/vms/vm/disks/more")

        def give(d):
            prepare(d)
            api_of(d).job(*add)

        add = ("POST", "/v1/vms/vm/disks", {"name": "more", "volume": "fast/a"})
        crash_everywhere(daemon, Verb("disk.add", add, attached, prepare=prepare, again="exists", clean=detach))
        crash_everywhere(daemon, Verb("disk.rm", ("DELETE", "/v1/vms/vm/disks/more?keep=true", None), detached, prepare=give, again="not-found", clean=remove_volumes))
        shutil.rmtree(folder_of(daemon) / "volumes")
        assert names_in(folder_of(daemon)) >= {".hostler-pool"}
