"""The same guest under libvirt, for comparison: a libvirtd of our own, started by hand, with a domain of the type `qemu` (TCG)."""
import os
import pathlib
import subprocess
import sys
import time

REAP = str(pathlib.Path(__file__).parent / "reap.py")

DOMAIN = """
<domain type='qemu'>
  <name>hostler-bench</name>
  <memory unit='MiB'>256</memory>
  <vcpu>1</vcpu>
  <cpu mode='custom'><model>qemu64</model></cpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel><initrd>{initrd}</initrd>
    <cmdline>console=ttyS0 root=/dev/vda no_timer_check</cmdline></os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><model type='virtio'/></interface>
    <serial type='pty'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <memballoon model='none'/>
  </devices>
  <seclabel type='static' model='dac' relabel='no'><label>+{uid}:+{gid}</label></seclabel>
</domain>
"""
SETTINGS = """
unix_sock_dir = "{folder}"
unix_sock_rw_perms = "0700"
auth_unix_rw = "none"
"""


class LibvirtVm:
    """Use as a context. ImportError, FileNotFoundError or libvirtError where libvirt cannot be used here."""

    def __init__(self, folder, image):
        import libvirt
        self.libvirt = libvirt
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.disk = self.folder / "disk.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image / "disk.qcow2", self.disk], check=True)
        self.xml = DOMAIN.format(kernel=image / "vmlinuz", initrd=image / "initrd", disk=self.disk, uid=os.getuid(),
                                 gid=os.getgid())
        self.daemons = []

    def __enter__(self):
        config = self.folder / "libvirtd.conf"
        config.write_text(SETTINGS.format(folder=self.folder))
        for argv in (["virtlogd"], ["libvirtd", "--config", str(config), "--pid-file", str(self.folder / "libvirtd.pid")]):
            self.daemons.append(subprocess.Popen([sys.executable, REAP, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        try:
            self.connection = self.connect()
            self.domain = self.connection.createXML(self.xml, self.libvirt.VIR_DOMAIN_NONE)
            self.domain.destroy()
        except Exception:
            self.end_daemons()
            raise
        self.domain = self.connection.defineXML(self.xml)
        return self

    def __exit__(self, *_):
        if self.domain.isActive():
            self.domain.destroy()
        self.domain.undefine()
        self.connection.close()
        self.end_daemons()

    def connect(self):
        self.libvirt.registerErrorHandler(lambda *_: None, None)
        address = f"qemu:///system?socket={self.folder}/libvirt-sock"
        for _ in range(200):
            try:
                return self.libvirt.open(address)
            except self.libvirt.libvirtError:
                time.sleep(0.1)
        return self.libvirt.open(address)

    def end_daemons(self):
        for daemon in reversed(self.daemons):
            daemon.terminate()
            daemon.wait()

    def start(self):
        self.domain.create()

    def stop(self):
        self.domain.destroy()

    def snapshot(self):
        self.taken = self.domain.snapshotCreateXML("<domainsnapshot/>")

    def revert(self):
        self.domain.revertToSnapshot(self.taken)

    def forget(self):
        self.taken.delete()

    def suspend(self):
        self.domain.managedSave()

    def resume(self):
        self.domain.create()
