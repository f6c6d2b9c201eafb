"""What each stage of the fuzz begins with: small networks, quick figures, and a note of its reads.

The warm server imports this where WARM_SETUP names it. A stage whose environment has FUZZ_READS
writes there, at its end, which files of the project it read and which folders it listed.

Not for a process that tests: what is replaced here is replaced for all that runs in it.
"""

import atexit
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import matplotlib.figure
import numpy as np
import safetensors
import torchvision.models
from PIL import Image
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from tests.fuzz import READS

# Times, than ResNet18: 8 channels, not 64. With 4, oneDNN 3.12, where there is AVX2 alone, writes
# past the end of the gradient of a 1x1 convolution of stride 2, and the process aborts.
NARROWER = 8
# Reads that decide nothing: of hashes, and of what a killed process or another recipe left.
BOOKKEEPING = ("vision/base/fingerprint.py", "stages/declared.py")
CLEANING = ("remove_leftovers", "remove_unlisted")


class SmallResNet(ResNet):
    """ResNet18's layers under their names, but for narrow ones."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=num_classes)
        self.fc = nn.Linear(512 // NARROWER, num_classes)

    def _make_layer(self, block: Any, planes: int, *args: Any, **options: Any) -> nn.Sequential:
        return super()._make_layer(block, planes // NARROWER, *args, **options)


def sketch(figure: matplotlib.figure.Figure, file: Any, *, dpi: int, **_: Any) -> None:
    """Write a picture that differs where figures do, in a hundredth of the time."""
    parts = [str(dpi)]
    for artist in figure.findobj():
        parts.append(type(artist).__name__)
        for name in ("get_text", "get_xydata", "get_array", "get_height", "get_width"):
            if ask := getattr(artist, name, None):
                parts.append(_describe(ask))
    digest = hashlib.sha512("\n".join(parts).encode()).digest()
    pixels = np.frombuffer(digest + digest[:32], np.uint8).reshape(4, 8, 3)
    Image.fromarray(pixels).resize((64, 32), Image.Resampling.NEAREST).save(file, "PNG")


def _describe(ask: Callable[[], Any]) -> str:
    value = ask()
    if isinstance(value, np.ndarray):
        return hashlib.md5(np.ascontiguousarray(value).tobytes()).hexdigest()
    return str(value) if isinstance(value, str | int | float) else ""


class Reads:
    """What this process reads of the project in the current folder."""

    def __init__(self) -> None:
        self.root = f"{Path.cwd()}/"
        self.files: dict[str, None] = {}
        self.folders: dict[str, None] = {}

    def note(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(path, str) and not flags & (os.O_CREAT | os.O_WRONLY):
                self.add(path, self.files)
        elif event in ("os.scandir", "os.listdir") and not _is_import(sys._getframe(1)):
            self.add(os.fspath(args[0] or "."), self.folders)

    def add(self, path: str, kind: dict[str, None]) -> None:
        full = os.path.normpath(os.path.join(self.root, path))  # noqa: PTH118 - no pathlib in a hook
        if full.startswith(self.root) and not _is_bookkeeping(sys._getframe(2)):
            kind[full.removeprefix(self.root)] = None

    def write(self, path: str) -> None:
        Path(path).write_text(json.dumps({"files": [*self.files], "folders": [*self.folders]}))


def _is_import(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith("<frozen importlib")


def _is_bookkeeping(frame: FrameType | None) -> bool:
    while frame:
        code = frame.f_code
        if code.co_filename.endswith(BOOKKEEPING) and code.co_name != "<module>":
            return True
        if code.co_name in CLEANING:
            return True
        frame = frame.f_back
    return False


def note_safetensors(reads: Reads) -> None:
    """Note the files that safetensors opens in Rust, past Python's audit."""
    opened = safetensors.safe_open

    def safe_open(path: Any, *args: Any, **options: Any) -> Any:
        reads.add(os.fspath(path), reads.files)
        return opened(path, *args, **options)

    safetensors.safe_open = safe_open  # type: ignore[misc]
    sys.modules["safetensors.torch"].safe_open = safe_open  # type: ignore[attr-defined]


assert os.environ["WARM_SETUP"] == __name__, "it replaces parts of torchvision: not to be imported"
torchvision.models.resnet18 = SmallResNet
matplotlib.figure.Figure.savefig = sketch  # type: ignore[method-assign, assignment]
if READS in os.environ:
    noted = Reads()
    note_safetensors(noted)
    sys.addaudithook(noted.note)
    atexit.register(noted.write, os.environ[READS])
