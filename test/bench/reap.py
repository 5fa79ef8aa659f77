"""Runs a command and takes in every orphan below it at once. libvirtd waits for the processes that it has let go of to
vanish, which they never do in a container whose first process does not collect them."""
import ctypes
import os
import signal
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def main():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = subprocess.Popen(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child.pid, signal.SIGTERM))
    while os.wait()[0] != child.pid:
        pass


if __name__ == "__main__":
    main()
