"""What firmware and a TPM remember goes along in snapshots, reverts and clones; a VM that was paused comes back paused."""
from crash import api_of, SMALL
from harness import Daemon, limit
from test_crash_steps import Case, Clones, run
from test_dev_platform import EXTEND_PCR_14, pcr_14, tpm

VARIABLES = "/sys/firmware/efi/efivars"


def write(daemon, vm, name):
    """A variable of UEFI; the kernel lets nobody change it later."""
    script = "mount -t efivarfs efivarfs $0 2> /dev/null; printf '\\007\\000\\000\\000text' > /tmp/v; dd if=/tmp/v of=$0/$1 bs=4096"
    daemon.guest(vm, "sh", "-c", script, VARIABLES, f"{name}-4f3c3b0a-6b1f-4f5e-9a3c-3f1f0a5e7c11")


def variables(daemon, vm):
    """As the firmware has them: what the kernel remembers of them is thrown away."""
    script = "umount $0 2> /dev/null; mount -t efivarfs efivarfs $0; cd $0; ls | grep 4f3c3b0a | cut -d- -f1"
    return set(daemon.guest(vm, "sh", "-c", script, VARIABLES).split())


def uptime(daemon, vm):
    return float(daemon.guest(vm, "cut", "-d ", "-f1", "/proc/uptime"))


@limit(900)
def test_uefi_variables_and_pcrs_come_back():
    with Daemon(images=("tiny-full",)) as daemon:
        daemon.create("web1", "memory.size=320M", "firmware.model=uefi", "tpm.kind=tpm", image="tiny-full", timeout=300)
        write(daemon, "web1", "first")
        tpm(daemon, "web1", EXTEND_PCR_14)
        first = pcr_14(daemon, "web1")
        daemon.hostler("pause", "web1")
        daemon.hostler("snapshot", "create", "web1", "one")
        assert daemon.power("web1") == "paused"
        daemon.hostler("resume", "web1")
        before = uptime(daemon, "web1")
        write(daemon, "web1", "other")
        tpm(daemon, "web1", EXTEND_PCR_14)
        assert variables(daemon, "web1") == {"first", "other"} and pcr_14(daemon, "web1") != first
        assert daemon.json("revert", "web1", "one")["status"]["power"] == "paused"
        daemon.hostler("resume", "web1", "--wait", "agent")
        assert pcr_14(daemon, "web1") == first and uptime(daemon, "web1") < before + 60
        # A clone begins with what they were; what it writes is its own.
        assert variables(daemon, "web1") == {"first"}
        daemon.hostler("clone", "web1", "web2")
        daemon.hostler("stop", "--hard", "web1")
        daemon.hostler("start", "web2", "--wait", "agent", timeout=300)
        write(daemon, "web2", "mine")
        assert variables(daemon, "web2") == {"first", "mine"}
        daemon.hostler("snapshot", "create", "web2", "disks", "--disk-only")
        write(daemon, "web2", "later")
        daemon.hostler("revert", "web2", "disks")
        daemon.hostler("start", "web2", "--wait", "agent", timeout=300)
        assert variables(daemon, "web2") == {"first", "mine"}


class WithTpm(Clones):
    """Such VMs whose firmware and TPM have something to remember; `paused` before the snapshots are taken."""

    def __init__(self, *taken, paused=False):
        super().__init__(*taken)
        self.paused = paused

    def prepare(self, daemon, name):
        self.daemon = daemon
        spec = SMALL | {"tpm": {}, "firmware": {"model": "uefi"}, "memory": {"size": 128 << 20}}
        api_of(daemon).job("POST", "/v1/vms", {"name": name, "start": True, "spec": spec})
        if self.paused:
            api_of(daemon).job("POST", f"/v1/vms/{name}/pause", {})
        for snapshot in self.taken:
            api_of(daemon).job("POST", f"/v1/vms/{name}/snapshots", {"name": snapshot})


@limit(900)
def test_crashes_with_keepsakes():
    new, paused, clones = WithTpm(), WithTpm("one", paused=True), WithTpm()
    snapshot = lambda name: ("POST", f"/v1/vms/{name}/snapshots", {"name": "new"})
    revert = lambda name: ("POST", f"/v1/vms/{name}/revert", {"snapshot": "one"})
    clone = lambda name: ("POST", f"/v1/vms/{name}/clone", {"names": [f"{name}-a", f"{name}-b"]})
    forget = lambda name: ("DELETE", f"/v1/vms/{name}/snapshots/one", None)
    run(Case("snapshot.create", snapshot, new.are("new", power="running"), prepare=new.prepare, before=new.are(power="running"), refusal="exists",
             same_process=True),
        Case("vm.revert", revert, paused.are("one", power="paused"), prepare=paused.prepare, before=paused.are("one")),
        Case("snapshot.rm", forget, paused.are(power="paused"), prepare=paused.prepare, refusal="not-found", same_process=True),
        Case("vm.clone", clone, clones.made("a", "b"), prepare=clones.prepare, before=clones.made(), refusal="exists", reset=clones.reset,
             same_process=True))
