"""What Python begins with where this folder is on its path: small networks and quick figures.

The tests of DVC's part ask which stages run, not how well models learn or what figures look like,
and need hundreds of both. Not for a process that tests: what is replaced here is replaced for all
that runs in it.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

REPLACEMENTS = {"torchvision.models.resnet": "narrow", "matplotlib.figure": "sketch"}


class ThenReplace(Loader):
    def __init__(self, loader: Loader, replace: Callable[[ModuleType], None]) -> None:
        self.create_module, self.load = loader.create_module, loader.exec_module  # type: ignore[method-assign]
        self.replace = replace

    def exec_module(self, module: ModuleType) -> None:
        self.load(module)
        self.replace(module)


class Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in REPLACEMENTS else None
        if spec and spec.loader:
            spec.loader = ThenReplace(spec.loader, import_module(REPLACEMENTS[name]).replace)
        return spec


sys.meta_path.insert(0, Finder())
