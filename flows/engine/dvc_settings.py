"""DVC's settings of a project, and of trees that share its cache and its remotes.

Run: python -m flows.engine.dvc_settings   (DVC's index goes where no other user can write)
"""

import os
from pathlib import Path
from typing import Any

from dvc.config import Config, ConfigError, merge
from dvc.config_schema import RelPath

from vision.base.errors import PipelineError

PRIVATE = 0o700
SHARED_TMP = Path("/var/tmp")


def share_settings(tree: Path, root: Path) -> None:
    """Give a tree the project's cache, remotes and credentials, as DVC resolves them there.

    Relative paths are written anew, relative to the tree: the two can be moved together.

    Raises:
        PipelineError: DVC cannot read the settings.
    """
    try:
        theirs = _write_settings(tree, _read_settings(root))
    except (ConfigError, UnicodeEncodeError) as error:
        raise PipelineError(f"DVC's settings: {error}: see .dvc/config and config.local") from None
    Path(theirs.files["local"]).chmod(0o600)  # it may hold passwords
    keep_site_cache(tree)


def _read_settings(root: Path) -> dict[str, Any]:
    """Return what the project sets, its cache in any case; paths know what they are relative to."""
    ours = Config(str(root / ".dvc"))
    settings: dict[str, Any] = {}
    for level in ("repo", "local"):
        merge(settings, ours.load_one(level))
    if "dir" not in ours["cache"]:
        settings["cache"]["dir"] = RelPath((root / ".dvc/cache").absolute())
    return settings


def _write_settings(tree: Path, settings: dict[str, Any]) -> Config:
    theirs = Config(str(tree / ".dvc"))
    with theirs.edit("local") as local:
        merge(local, settings)
    return theirs


def keep_site_cache(project: Path) -> None:
    """Have DVC keep its index out of other users' reach, not in the /var/tmp/dvc of all.

    It is a database of pickles, which whoever can write it makes run what they like. DVC writes
    only ASCII into its settings: a project below a folder named otherwise has it in /var/tmp.

    Raises:
        PipelineError: someone else has the folder.
    """
    folder = project.absolute() / ".dvc/tmp/site"
    if not str(folder).isascii():
        folder = SHARED_TMP / f"dvc-{os.getuid()}"
    folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    state = folder.lstat()
    if state.st_uid != os.getuid() or folder.is_symlink():
        raise PipelineError(f"{folder} is not yours: have it removed, then try again")
    folder.chmod(PRIVATE)
    with Config(str(project / ".dvc")).edit("local") as local:
        local["core"]["site_cache_dir"] = str(folder)


if __name__ == "__main__":
    keep_site_cache(Path())
