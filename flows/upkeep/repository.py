"""Whether git lets a run have a tree of its own."""

from collections.abc import Iterator

from flows.engine.git import ask, find_head, find_top
from flows.engine.names import check_identity
from flows.upkeep.findings import Finding, bad, good, note
from vision.base.errors import PipelineError


def check_git(fix: bool) -> Iterator[Finding]:
    """Look for what keeps git from reading the project, or from committing a result."""
    try:
        head = find_head()
    except PipelineError as error:
        yield bad(str(error))
        return
    yield good(f"git: at commit {head[:10]}")
    try:
        check_identity()
    except PipelineError as error:
        yield note(f"{error} (for runs with -S, --isolated or --publish)")
    for line in ask("submodule", "status", "--recursive", folder=find_top()).splitlines():
        if line.startswith("-"):
            way_out = "git submodule update --init --recursive"
            yield note(f"the submodule {line.split()[1]} is empty: {way_out}")
