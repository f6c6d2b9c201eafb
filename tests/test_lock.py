"""The lock holds what pyproject.toml asks for, and each package with its hashes."""

import re
import tomllib
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
ENTRY = re.compile(
    r"^([a-z0-9-]+)(?:\[.*\])?==(\S+)(?: ; .*?)? \\\n((?: +--hash=sha256:[0-9a-f]{64}.*\n)+)",
    re.MULTILINE,
)


def read_lock(name: str) -> dict[str, str]:
    return {match[1]: match[2] for match in ENTRY.finditer((ROOT / name).read_text())}


@pytest.mark.parametrize("text", DIRECT)
def test_a_direct_dependency_is_locked_and_installed(text: str) -> None:
    wanted = Requirement(text)
    locked = read_lock("requirements.lock")[canonicalize_name(wanted.name)]
    assert Version(locked) in wanted.specifier
    assert Version(version(wanted.name)) in wanted.specifier


def test_every_extra_is_locked() -> None:
    locked = read_lock("requirements.lock")
    extras = PROJECT["optional-dependencies"]
    for wanted in map(Requirement, chain.from_iterable(extras.values())):
        assert Version(locked[canonicalize_name(wanted.name)]) in wanted.specifier


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-cpu.lock"])
def test_every_locked_package_has_a_hash(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    packages = {re.split(r"==|\[", line)[0] for line in lines if re.match(r"[a-z0-9]", line)}
    assert packages == set(read_lock(name))


def test_the_cpu_lock_is_the_lock_less_torch_and_its_cuda_libraries() -> None:
    full, cpu = read_lock("requirements.lock"), read_lock("requirements-cpu.lock")
    assert cpu.items() <= full.items()
    left_out = set(full) - set(cpu)
    assert {"torch", "torchvision"} <= left_out
    assert all(re.match("torch|torchvision|triton|nvidia-|cuda-", name) for name in left_out)


def test_prefect_gets_a_fastapi_that_it_works_with() -> None:
    assert Version("0.139") <= Version(read_lock("requirements.lock")["fastapi"]) < Version("0.151")


def test_the_scheduler_of_prefect_gets_a_sqlalchemy_that_it_works_with() -> None:
    assert Version(read_lock("requirements.lock")["sqlalchemy"]) < Version("2.1")


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-cpu.lock"])
def test_a_package_with_extras_is_pinned_without_them_too(name: str) -> None:
    text = (ROOT / name).read_text()
    for package in re.findall(r"^([a-z0-9-]+)\[", text, re.MULTILINE):
        assert re.search(rf"^{package}==", text, re.MULTILINE)
