"""What models left that params.yaml no longer lists, in folders that a stage reads whole.

A fresh clone has it not, and would differ from what dvc.lock says, for no reason.
"""

from pathlib import Path

from stages.declared import DVC_FILE, list_outs, read_declared
from vision.base.kept import remove
from vision.base.params import list_stages, read_params, read_yaml

MEMBERS = ("first", "second")  # of what `models.averages` names


def remove_unlisted(stage: str, name: str = "") -> None:
    """Remove it, before the stage notes what it reads; DVC's cache has it."""
    listed = _list_models()
    shared = _find_shared() if listed else set()
    folders = [Path(dep) for dep in read_declared(stage, name).deps if dep in shared]
    for path in sorted(path for folder in folders for path in folder.glob("[!.]*")):
        model = path.name.partition(".")[0]
        if model not in listed:
            remove(path)
            print(f"removed {path}: models in params.yaml does not list {model}", flush=True)


def _list_models() -> list[str]:
    """Return all names that `models` lists; where it cannot be read, the stage says so."""
    models = read_params().get("models")
    lists = models.values() if isinstance(models, dict) else []
    names = [name for each in lists if isinstance(each, list) for name in each]
    # What another is the mean of stays, listed or not: that stage says what is wrong.
    averages = [each for names in lists if isinstance(names, dict) for each in names.values()]
    members = [each.get(key) for each in averages if isinstance(each, dict) for key in MEMBERS]
    return [*names, *filter(None, members)]


def _find_shared() -> set[str]:
    """Return the folders in which each member of a matrix has an out."""
    stages = list_stages(read_yaml(DVC_FILE)).values()
    outs = (out for stage in stages for out in list_outs(stage))
    return {out.rpartition("/")[0] for out in outs if "${item." in out or "${key}" in out}
