"""Files beside the objects, in a folder of DVC's remote: whole, or not there."""

import os
from pathlib import Path
from typing import Any

from flows.placing.objects import Store
from vision.base.files import replacing


class Shelf:
    """A folder of a remote that no object lies in."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.folder = self.fs.join(store.find_top(), name)

    @property
    def fs(self) -> Any:
        """The remote's file system, another one after the connection broke off."""
        return self.store.remote.fs

    def list(self) -> list[str]:
        """Return the names of what lies there."""
        return self.store.list_names(self.folder)

    def is_there(self, name: str) -> bool:
        with self.store.reaching():
            return bool(self.fs.exists(self._find(name)))

    def read(self, name: str) -> str | None:
        """Return the text of a file; None where it is not there."""
        with self.store.reaching():
            path = self._find(name)
            return str(self.fs.read_text(path)) if self.fs.exists(path) else None

    def get(self, name: str, path: Path) -> None:
        """Fetch a file."""
        with self.store.reaching(), replacing(path) as unfinished:
            self.fs.get_file(self._find(name), str(unfinished))

    def put(self, path: Path, name: str) -> None:
        """Send a file, in place of an older one."""
        with self.store.reaching():
            target = self._find(name)
            self.fs.makedirs(self.fs.parent(target), exist_ok=True)
            unfinished = f"{target}.{os.getpid()}.tmp"
            self.fs.put_file(str(path), unfinished)
            self.fs.move(unfinished, target)

    def drop(self, name: str) -> None:
        """Remove a file or a folder, if it is there."""
        with self.store.reaching():
            if self.fs.exists(self._find(name)):
                self.fs.remove(self._find(name), recursive=True)

    def _find(self, name: str) -> str:
        return str(self.fs.join(self.folder, name))
