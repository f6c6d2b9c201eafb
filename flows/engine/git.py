"""All that the flows ask of git, asked in the same way whatever the user's settings are.

No hook runs, no setting changes what a file holds, and what a hook around us says of its own
repository and index is not passed on.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from flows.engine.imports import PACKAGES
from vision.base.errors import PipelineError

FIXED = {
    "core.hooksPath": os.devnull,
    "core.autocrlf": "false",  # DVC compares bytes: a tree has the line ends of the commit
    "core.eol": "lf",
    "core.safecrlf": "false",
    "core.fsmonitor": "false",
    "core.splitIndex": "false",
    "submodule.recurse": "false",
}
OPTIONS = [word for key, value in FIXED.items() for word in ("-c", f"{key}={value}")]
# Who commits, where settings lie, how a server is reached. All else of git's is about another call.
PASSED_ON = re.compile(
    r"GIT_(AUTHOR|COMMITTER|CONFIG|SSH|SSL|ASKPASS|TERMINAL|EXEC|CEILING|DISCOVERY|TEMPLATE|PROXY)"
)
# New files that belong to what a run reads: code and settings. Photos and notes do not.
CODE = ("*.py", "*.yaml", "*.yml", "dvc.lock", "sources", *PACKAGES)


def git(
    *arguments: str, folder: Path = Path(), given: bytes = b"", index: Path | None = None
) -> bytes:
    """Return what a git command prints.

    Args:
        given: its standard input.
        index: a file to use as the index in place of the user's.

    Raises:
        PipelineError: with git's own words, in one line.
    """
    environment = clean_environment() | {"LC_ALL": "C"}
    if index:
        environment["GIT_INDEX_FILE"] = str(index.absolute())
    try:
        done = subprocess.run(
            ["git", *OPTIONS, *arguments],
            cwd=folder,
            env=environment,
            input=given,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise PipelineError("there is no git on the PATH: install it") from None
    if done.returncode:
        raise PipelineError(f"git {arguments[0]}: {_join(done.stderr) or 'failed'}")
    return done.stdout


def ask(*arguments: str, folder: Path = Path()) -> str:
    """Return what a git command prints, as text without the end of the line."""
    return os.fsdecode(git(*arguments, folder=folder)).rstrip("\n")


def clean_environment() -> dict[str, str]:
    """Return our environment without what a surrounding git says of its own call."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("GIT_") or PASSED_ON.match(key)
    }


def check_readable(folder: Path = Path()) -> None:
    """Raise PipelineError, with the way out, if git cannot read the project."""
    try:
        ask("rev-parse", "--git-dir", folder=folder)
    except PipelineError as error:
        ways_out = "" if "safe.directory" in str(error) else ": git init, git add --all, git commit"
        raise PipelineError(f"{error}{ways_out}") from None


def find_head() -> str:
    """Return the commit that is checked out.

    Raises:
        PipelineError: git cannot read the project, or it has no commit yet; with the way out.
    """
    check_readable()
    try:
        return ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    except PipelineError:
        way_out = "git add --all, then git commit"
        raise PipelineError(f"the repository has no commit yet: {way_out}") from None


def find_prefix() -> Path:
    """Return where the project lies in its repository."""
    return Path(ask("rev-parse", "--show-prefix"))


def find_top() -> Path:
    """Return the top of the repository, or of its worktree, that the project lies in."""
    return Path(ask("rev-parse", "--show-toplevel"))


def find_git_path(name: str, folder: Path = Path()) -> Path:
    """Return where git keeps a thing of a worktree, such as its index."""
    return folder / ask("rev-parse", "--git-path", name, folder=folder)


def find_shared(name: str) -> Path:
    """Return a file of ours that all worktrees of the repository share; its folder is there."""
    path = Path(ask("rev-parse", "--git-common-dir")).absolute() / "pipeline" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def take_snapshot(folder: Path = Path(), new: Sequence[str] = CODE) -> str:
    """Return git's object of the files of a worktree as its user sees them.

    They are those that git tracks, with their changes, and new ones that it does not ignore. The
    index is copied, not touched.

    Args:
        new: what to look for among new files: names, folders and patterns.
    """
    with tempfile.TemporaryDirectory() as place:
        index = Path(place, "index")
        if (theirs := find_git_path("index", folder)).exists():
            shutil.copy2(theirs, index)  # by its time git knows which files may have changed since
        git("add", "--update", folder=folder, index=index)
        wanted = ["--others", "--exclude-standard", "-z", "--", *new]
        names = git("ls-files", *wanted, folder=folder, index=index).split(b"\0")
        files = b"\0".join(name for name in names if not name.endswith(b"/"))  # no repositories
        git("update-index", "--add", "-z", "--stdin", given=files, folder=folder, index=index)
        return os.fsdecode(git("write-tree", folder=folder, index=index)).strip()


def list_checked_out() -> dict[str, str]:
    """Return the branches that a worktree has checked out, with its folder."""
    folder, found = "", {}
    for line in ask("worktree", "list", "--porcelain").splitlines():
        word, _, rest = line.partition(" ")
        if word == "worktree":
            folder = rest
        elif word == "branch":
            found[rest.removeprefix("refs/heads/")] = folder
    return found


def _join(said: bytes) -> str:
    """Return what git said in one line, without its hints."""
    lines = said.decode(errors="replace").splitlines()
    words = " ".join(line.strip() for line in lines if not line.startswith("hint:"))
    return " ".join(words.split()).removeprefix("fatal: ")
