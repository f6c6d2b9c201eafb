"""Import what stages and DVC need; then fork for each command that comes over the socket."""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

LATER = (  # imported where they are needed, not at the start of a module
    "cleanlab.filter",
    "dvc.cli.parser",
    "dvc.repo.checkout",
    "dvc.repo.experiments",
    "dvc.repo.reproduce",
    "dvc.repo.status",
    "matplotlib.backends.backend_agg",
    "pytest",
    "torch._dynamo",
    "torchvision.models",
)
SETUP = "WARM_SETUP"  # environment variable: a module to import before the command runs
OURS = ("stages", "tests", "vision")


def import_all() -> None:
    """Import what the stages import, and leave out the project's own modules and their finder."""
    finders = [*sys.meta_path]
    for path in Path("stages").glob("[!_]*.py"):
        importlib.import_module(f"stages.{path.stem}")
    for name in LATER:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.meta_path[:] = finders
    read_lock_quickly()
    gc.collect()
    gc.freeze()


def read_lock_quickly() -> None:
    """Have DVC read dvc.lock, in which there are no comments to be kept, by the loader in C.

    A quarter of the time of `dvc repro` goes into reading it anew after each stage.
    """
    from dvc.utils.serialize import _yaml

    keep_comments = _yaml.parse_yaml_for_update

    def parse(text: str, path: str) -> Any:
        is_lock = str(path).endswith("dvc.lock")
        return (_yaml.parse_yaml if is_lock else keep_comments)(text, path)

    _yaml.parse_yaml_for_update = parse


def serve(path: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries those that watch
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                if not os.fork():
                    listener.close()
                    watch(connection)


def watch(connection: socket.socket) -> NoReturn:
    """Run a command in a fork of this process; end it if the client ends first."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as stream:
        command = json.loads(stream.readline())
    child = os.fork()
    if not child:
        connection.close()
        start(command, files)
    for file in files:
        os.close(file)
    ended = os.pidfd_open(child)
    ready, _, _ = select.select([ended, connection], [], [])
    if ended not in ready:
        os.kill(child, signal.Signals[command["env"].get("WARM_END", "SIGTERM")])
    _, status = os.waitpid(child, 0)
    connection.send(str(os.waitstatus_to_exitcode(status) % 256).encode())
    os._exit(0)


def start(command: dict[str, Any], files: list[int]) -> NoReturn:
    """Become the command, and end without taking apart, module by module, what was imported."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(command["cwd"])
    os.environ.clear()
    os.environ.update(command["env"])
    status: object = 1
    try:
        status = run(command["name"], command["arguments"], command["cwd"])
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


def run(name: str, arguments: list[str], folder: str) -> int:
    """Run `dvc` or `python -m`; return the exit status."""
    if name == "dvc":
        from dvc.cli import main

        sys.argv = ["dvc", *arguments]
        return int(main(arguments))
    if setup := os.environ.get(SETUP):
        importlib.import_module(setup)
    sys.path[0] = folder
    _, module, *rest = arguments
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    import_all()
    serve(sys.argv[1])
