"""Whether git lets a run have a tree of its own."""

from collections.abc import Iterator

from flows.engine.git import ask, find_head
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
    if modules := ask("submodule", "status", "--recursive"):
        names = ", ".join(line.split()[1] for line in modules.splitlines())
        yield note(f"submodules are empty in runs with -S, --isolated or --publish: {names}")
