"""A file server of NFS 4.2 in an inner host, and its folder mounted in the same host: without rpc.mountd, whose answers to the kernel are given
beforehand, so that no package is needed. Linux: Documentation/filesystems/nfs/rpc-cache.rst, fs/nfsd/export.c."""
import pathlib
import subprocess

RPC = pathlib.Path("/proc/net/rpc")
NFSD = pathlib.Path("/proc/fs/nfsd")
FOR_EVER = 2**31 - 1
# Ports above 1024, without a look at the folder above, root of all exports: NFSEXP_INSECURE_PORT, _NOSUBTREECHECK, _FSID.
FLAGS = 0x2 | 0x400 | 0x2000
ROOT_ID = "\\x00000000"
NFS_ID_OF_ROOT = 1


def export(folder):
    """The server offers @folder, read-write for root, on 127.0.0.1."""
    for module in ("nfsd", "nfs", "nfsv4"):
        subprocess.run(["/run/inner/modprobe", module], check=True)
    subprocess.run(["mount", "-t", "nfsd", "nfsd", NFSD], check=True)
    (NFSD / "versions").write_text("-3\n")  # it would need rpcbind and rpc.statd
    (NFSD / "nfsv4gracetime").write_text("10")
    (NFSD / "nfsv4leasetime").write_text("10")
    start(folder)


def tell(cache, line):
    (RPC / cache / "channel").write_text(line + "\n")


def start(folder):
    """The server forgets its answers when it stops."""
    (NFSD / "portlist").write_text("tcp 2049")
    (NFSD / "threads").write_text("4")
    tell("auth.unix.ip", f"nfsd 127.0.0.1 {FOR_EVER} us")
    tell("nfsd.export", f"us {folder} {FOR_EVER} {FLAGS} 65534 65534 0")
    tell("nfsd.fh", f"us {NFS_ID_OF_ROOT} {ROOT_ID} {FOR_EVER} {folder}")


def stop():
    (NFSD / "threads").write_text("0")


def mount(folder):
    options = "addr=127.0.0.1,clientaddr=127.0.0.1,vers=4.2,proto=tcp,sec=sys,hard,timeo=50"
    subprocess.run(["mount", "-i", "-t", "nfs4", "-o", options, "127.0.0.1:/", folder], check=True)
