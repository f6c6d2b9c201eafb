"""YAML as DVC reads and writes it, in a third of the time: most of `dvc repro` goes into it."""

import pickle
from collections import OrderedDict
from functools import lru_cache
from typing import Any, TextIO

from dvc.utils import strictyaml
from dvc.utils.serialize import _yaml
from ruamel.yaml import YAML
from ruamel.yaml.resolver import VersionedResolver

parse_safe, parse_keeping_comments = _yaml.parse_yaml, _yaml.parse_yaml_for_update
dump_keeping_comments = _yaml._dump


def use() -> None:
    """Put it into DVC.

    What has been read is remembered by its text. dvc.lock and the entries of the run cache, in
    which there are no comments to be kept, are read and written by the loader and dumper in C.
    """
    strictyaml.parse_yaml = _yaml.parse_yaml = parse
    _yaml.parse_yaml_for_update = parse_for_update
    _yaml._dump = dump
    VersionedResolver.processing_version = (1, 2)  # else it is asked for each word


def parse(text: str, path: str, typ: str = "safe") -> Any:
    return pickle.loads(_pack(text, str(path))) if typ == "safe" else parse_safe(text, path, typ)


@lru_cache(maxsize=64)
def _pack(text: str, path: str) -> bytes:
    return pickle.dumps(parse_safe(text, path))


def parse_for_update(text: str, path: str) -> Any:
    is_lock = str(path).endswith("dvc.lock")
    return (parse if is_lock else parse_keeping_comments)(text, path)


def dump(data: Any, stream: TextIO) -> None:
    if type(data) not in (dict, OrderedDict):  # it carries comments
        dump_keeping_comments(data, stream)
        return
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.Representer.add_representer(OrderedDict, yaml.Representer.represent_dict)
    yaml.dump(data, stream)
