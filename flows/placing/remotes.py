"""What a remote says that fails: in one line, with the way out.

Each kind of remote has errors of its own, in packages that need not be installed: they are told
apart by their names. What is not known to need someone's hand is held for passing.
"""

from collections.abc import Iterator

from flows.engine.patience import AwayError
from vision.base.errors import FULL, PipelineError

REFUSALS = {"PermissionDenied", "PermissionError", "ProtocolError"}  # of SSH: too many keys tried
NO_FOLDER = "NotADirectoryError"  # a file stands where a folder should
SETTING = "dvc remote modify --local NAME"
WAYS_IN = {
    "": "see who may read and write there",
    "s3": f"{SETTING} access_key_id ID, and secret_access_key SECRET",
    "ssh": f"{SETTING} keyfile PATH, or ssh-add",
}


def explain(error: BaseException, place: str) -> PipelineError:
    """Return what to tell of an error of a remote: an AwayError where it may pass.

    Args:
        place: its address.
    """
    where, names = f"the remote {place}", _find_names(error)
    words = f"{type(error).__name__}: {' '.join(str(error).split())}"
    scheme = place.partition("://")[0] if "://" in place else ""
    way_in = WAYS_IN.get(scheme, f"{SETTING} KEY VALUE")
    if "NoCredentialsError" in names:
        return PipelineError(f"{where} asks for credentials, and none are set: {way_in}")
    if names & REFUSALS:
        return PipelineError(f"{where} refuses ({words}): {way_in}")
    if lacks_bucket(error):
        way_out = "make it, or dvc remote modify NAME url ADDRESS"
        return PipelineError(f"{where}: there is no such bucket: {way_out}")
    if NO_FOLDER in names:
        way_out = "dvc remote modify NAME url ADDRESS"
        return PipelineError(f"{where} cannot be a folder to write in ({words}): {way_out}")
    if is_full(error):
        return PipelineError(f"{where} has no room left: dvc gc --workspace --cloud")
    return AwayError(f"{where}: {words}")


def lacks_bucket(error: BaseException) -> bool:
    """Say whether it is not an object that is missing, but the place for all."""
    return "bucket does not exist" in str(error)


def is_full(error: BaseException) -> bool:
    """Say whether a disk has no room left."""
    return any(isinstance(each, OSError) and each.errno in FULL for each in _follow(error))


def _find_names(error: BaseException) -> set[str]:
    return {kind.__name__ for each in _follow(error) for kind in type(each).__mro__}


def _follow(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it comes of."""
    while error:
        yield error
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)
