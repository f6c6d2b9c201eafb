"""Import what stages and DVC need; then fork for each command that comes over the socket."""

import _imp
import atexit
import gc
import importlib
import io
import marshal
import multiprocessing.util
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import tokenize
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple, NoReturn
from weakref import finalize

from PIL import Image

from tests.warm import quick_yaml

LATER = (  # imported where they are needed, not at the start of a module
    "dvc.cli.parser",
    "dvc.repo.checkout",
    "dvc.repo.datasets",
    "dvc.repo.experiments",
    "dvc.repo.reproduce",
    "dvc.repo.status",
    "matplotlib.backends.backend_agg",
    "networkx",
    "pytest",
    "torch._dynamo",
    "torchvision.models",
)
SETUP = "WARM_SETUP"  # environment variable: a module to import before the command runs
OURS = ("flows", "stages", "tests", "vision")


class Command(NamedTuple):
    """What a client asks for."""

    name: str  # dvc or python
    arguments: list[str]
    folder: str  # that it is in
    environment: dict[str, str]


def import_all() -> None:
    """Import what the stages import, and leave out the project's own modules and their finder."""
    gc.disable()  # what is imported stays, and commands end soon
    finders = [*sys.meta_path]
    for path in Path("stages").glob("[!_]*.py"):
        importlib.import_module(f"stages.{path.stem}")
    for name in LATER:
        importlib.import_module(name)
    Image.init()  # imports a module for each format
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.meta_path[:] = finders
    quick_yaml.use()
    remember_code()
    forget_exits()
    gc.collect()
    gc.freeze()


def remember_code() -> None:
    """Compile the code of stages and vision once, and take it to pieces once.

    Each stage compiles what it imports, and asks what its code means.
    """
    files = [path for package in ("stages", "vision") for path in Path(package).rglob("*.py")]
    remember_compiled([path.read_bytes() for path in files])
    remember_tokens([path.read_text() for path in files])


def remember_compiled(sources: Sequence[bytes]) -> None:
    compile_anew = SourceFileLoader.source_to_code
    known = {each: marshal.dumps(compile(each, "", "exec", dont_inherit=True)) for each in sources}

    def source_to_code(loader: SourceFileLoader, source: bytes, path: str, **more: Any) -> CodeType:
        if source not in known:
            return compile_anew(loader, source, path, **more)
        code: CodeType = marshal.loads(known[source])
        _imp._fix_co_filename(code, path)  # as where it comes from a .pyc
        return code

    SourceFileLoader.source_to_code = source_to_code  # type: ignore[method-assign, assignment]


def remember_tokens(texts: Sequence[str]) -> None:
    take_apart = tokenize.generate_tokens
    known = {each: [*take_apart(io.StringIO(each).readline)] for each in texts}

    def generate_tokens(readline: Callable[[], str]) -> Iterator[tokenize.TokenInfo]:
        stream = getattr(readline, "__self__", None)
        text = stream.getvalue() if isinstance(stream, io.StringIO) else ""
        return iter(known[text]) if text in known else take_apart(readline)

    tokenize.generate_tokens = generate_tokens


def forget_exits() -> None:
    """Leave out what imports want done at the end: a tenth of a second each time, for nothing."""
    atexit._clear()
    finalize._registry.clear()  # type: ignore[attr-defined]
    finalize._registered_with_atexit = False  # type: ignore[attr-defined]
    atexit.register(multiprocessing.util._exit_function)


def serve(path: str) -> None:
    """Run each command in a fork of this process; end it if its client ends first."""
    waiting = selectors.DefaultSelector()  # each with what is to be done
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{path}~")
        listener.listen()
        Path(f"{path}~").rename(path)  # by which clients see that it is ready
        waiting.register(listener, selectors.EVENT_READ, lambda: begin(listener, waiting))
        while True:
            for key, _ in waiting.select():
                if waiting.get_map().get(key.fd) == key:  # it may have gone, its number may not
                    key.data()


def begin(listener: socket.socket, waiting: selectors.BaseSelector) -> None:
    client, _ = listener.accept()
    _, files, _, _ = socket.recv_fds(client, 1, 3)
    with client.makefile("rb") as stream:
        command = Command(*marshal.loads(stream.read(int.from_bytes(stream.read(4), "big"))))
    child = os.fork()
    if not child:
        client.close()
        for key in [*waiting.get_map().values()]:
            os.close(key.fileobj) if isinstance(key.fileobj, int) else key.fileobj.close()
        start(command, files)
    for file in files:
        os.close(file)
    ended = os.pidfd_open(child)

    def answer() -> None:
        _, status = os.waitpid(child, 0)
        with suppress(OSError):  # the client has ended
            client.send(str(os.waitstatus_to_exitcode(status) % 256).encode())
        waiting.unregister(ended)
        os.close(ended)
        forget()

    def forget() -> None:
        if client.fileno() >= 0:
            waiting.unregister(client)
            client.close()

    def stop() -> None:
        os.kill(child, signal.Signals[command.environment.get("WARM_END", "SIGTERM")])
        forget()

    waiting.register(ended, selectors.EVENT_READ, answer)
    waiting.register(client, selectors.EVENT_READ, stop)


def start(command: Command, files: list[int]) -> NoReturn:
    """Become the command, and end without taking apart, module by module, what was imported."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(command.folder)
    os.environ.clear()
    os.environ.update(command.environment)
    status: object = 1
    try:
        status = run(command.name, command.arguments, command.folder)
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
