"""Images: shown, kept while used, brought in from files of others."""
import json
import subprocess

from harness import Daemon


def disk_file(daemon, kind, *, source=None):
    """A disk image file with a mark in its first sector."""
    raw, path = daemon.folder / "raw.img", daemon.folder / f"disk.{kind}"
    raw.write_bytes(b"hostler-mark" + bytes((8 << 20) - 12))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", {"raw": "raw", "vhdx": "vhdx"}.get(kind, kind), source or raw, path], check=True)
    return path


def test_ls_and_show(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    image = daemon.json("image", "show", "tiny")
    assert image["used_by"] == ["web1"] and image["agent"] and image["kernel"] and image["size"] >= 1 << 20 and not image["cloud_init"]
    listed = {one["name"]: one for one in daemon.json("image", "ls")}
    assert listed["tiny"]["allocated"] == image["allocated"] > 0
    assert "tiny" in daemon.hostler("image", "ls")
    assert "tiny" in daemon.refused(3, "image", "show", "tyni")


def test_an_image_in_use_stays(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    assert "web1" in daemon.refused(4, "image", "rm", "tiny")
    assert "web1" in daemon.refused(4, "image", "build", "--force", "tiny")
    daemon.hostler("rm", "web1")
    daemon.refused(4, "image", "rm", "tiny")
    daemon.hostler("rm", "--now", "web1")
    daemon.hostler("image", "rm", "tiny")
    assert not (daemon.state / "images" / "tiny").exists()
    assert "image build tiny" in daemon.refused(3, "create", "web1", "--image", "tiny") and daemon.json("ls") == []


def test_every_format_comes_in_and_is_the_same_disk(daemon):
    for kind in ("qcow2", "raw", "vmdk", "vhdx", "vdi"):
        path = disk_file(daemon, kind)
        image = daemon.json("image", "import", f"from-{kind}", path, *(("--format", "raw") if kind == "raw" else ()))
        assert image["size"] == 8 << 20 and not image["kernel"], kind
        stored = daemon.state / "images" / f"from-{kind}" / "disk.qcow2"
        shown = json.loads(subprocess.run(["qemu-img", "info", "--output=json", "-f", "qcow2", stored], check=True, capture_output=True).stdout)
        assert shown["virtual-size"] == 8 << 20 and "backing-filename" not in shown
        back = daemon.folder / "back.img"
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", stored, back], check=True)
        assert back.read_bytes()[:12] == b"hostler-mark", kind
    assert daemon.refused(4, "image", "import", "from-raw", daemon.folder / "raw.img", "--format", "raw")


def test_an_imported_disk_is_what_the_guest_sees():
    """A copy of the tiny image's own disk, brought in as another format, is booted."""
    with Daemon() as daemon:
        path = daemon.folder / "tiny.vdi"
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "vdi", daemon.state / "images/tiny/disk.qcow2", path], check=True)
        daemon.hostler("image", "import", "mine", path)
        daemon.hostler("create", "web1", "--image", "mine", "boot.image=tiny", "--start", "--wait", "agent")
        assert "hostler-tiny" in daemon.guest("web1", "cat", "/etc/os-release")


def test_hostile_files_are_refused(daemon):
    secret = daemon.folder / "secret"
    secret.write_bytes(b"secret" * 1000)
    plain = disk_file(daemon, "qcow2")
    backed = daemon.folder / "backed.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", backed], check=True)
    outside = daemon.folder / "outside.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={secret},data_file_raw=on", outside, "1M"],
                   check=True)
    extent = daemon.folder / "extent.vmdk"
    extent.write_text('# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
                      f'RW 12 FLAT "{secret}" 0\n')
    cut = daemon.folder / "cut.qcow2"
    cut.write_bytes(plain.read_bytes()[:100])
    nonsense = daemon.folder / "nonsense"
    nonsense.write_bytes(b"nonsense" * 1000)
    link = daemon.folder / "link.qcow2"
    for path in (backed, outside, extent, cut, nonsense, daemon.folder, "/dev/null", daemon.folder / "missing"):
        done = daemon.run("image", "import", "bad", path)
        assert done.returncode in (1, 2, 3, 4) and done.stderr.strip(), (path, done)
    link.symlink_to(backed)
    assert daemon.run("image", "import", "bad", link).returncode != 0
    assert [one["name"] for one in daemon.json("image", "ls") if one["name"] == "bad"] == []
    assert not list((daemon.state / "images").glob("*bad*"))
