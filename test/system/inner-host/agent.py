"""Works in an inner host (inner.py) for the outer one: for each line of JSON that comes it runs a command, or a function of a test file, and one
line goes back. Functions run in a child of this process, which has loaded the harness already: Python takes long to start where all is emulated."""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import traceback

SETTINGS = json.loads(pathlib.Path("/run/inner/settings").read_text())
os.environ |= SETTINGS["environment"]
sys.path.insert(0, SETTINGS["tests"])
import harness  # noqa: E402: it looks at the environment

FAILED, SKIPPED = 1, 77


def find_port(name):
    for port in pathlib.Path("/sys/class/virtio-ports").iterdir():
        if (port / "name").read_text().strip() == name:
            return f"/dev/{port.name}"
    raise FileNotFoundError(name)


def run(request):
    try:
        done = subprocess.run(request["argv"], input=request["input"] or "", env=os.environ | request["environment"], cwd="/", capture_output=True,
                              text=True, errors="replace", timeout=request["timeout"])
        return {"code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}
    except subprocess.TimeoutExpired as late:
        told = [(text or b"").decode(errors="replace") for text in (late.stdout, late.stderr)]
        return {"code": 124, "stdout": told[0], "stderr": f"{told[1]}\nno end within {request['timeout']:.0f} s"}
    except OSError as error:
        return {"code": 127, "stdout": "", "stderr": str(error)}


def call(request):
    """stdout: all that the function printed; value: what it returned."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as value:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            os._exit(call_here(request, value))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return {"code": code, "stdout": content(output), "value": content(value)}


def call_here(request, file):
    try:
        path = pathlib.Path(request["file"])
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        json.dump(getattr(module, request["function"])(*request["arguments"]), file)
        file.flush()
        return 0
    except harness.Skip as reason:
        print(reason)
        return SKIPPED
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        return FAILED
    finally:
        sys.stdout.flush()


def content(file):
    file.seek(0)
    return file.read()


def serve(request, port, lock):
    answer = run(request) if "argv" in request else call(request)
    send(port, lock, answer | {"id": request["id"]})


def send(port, lock, answer):
    data = (json.dumps(answer) + "\n").encode()
    with lock:
        while data:
            data = data[os.write(port, data):]


def main():
    port = os.open(find_port("inner.agent"), os.O_RDWR)
    lock = threading.Lock()
    send(port, lock, {"id": 0})
    with os.fdopen(os.dup(port), "rb") as requests:
        for line in requests:
            threading.Thread(target=serve, args=(json.loads(line), port, lock), daemon=True).start()


if __name__ == "__main__":
    main()
