"""What a bare machine lacks, in one folder: wheels, images, weights and how they were split.

FOLDER/
    wheels/     what the training code imports and torch and torchvision do not bring
    mirror/     the archive of images and the file of weights, as PIPELINE_MIRROR has them
    data/       labels, split, classes and provenance, see gpu_data.py
    pack.json   the Python that the wheels are for, and the commit that packed them

Imports only what Python itself has: it runs before the wheels can be used.
"""

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from vision.base.errors import PipelineError

LOCK = Path("requirements.lock")
# By the name in the lock: the name that it is imported by.
WHEELS = {
    "annotated-types": "annotated_types",
    "pydantic": "pydantic",
    "pydantic-core": "pydantic_core",
    "rich": "rich",
    "ruamel-yaml": "ruamel.yaml",
    "safetensors": "safetensors",
    "typing-extensions": "typing_extensions",
    "typing-inspection": "typing_inspection",
}
# manylinux tags, each with the glibc that it needs: pip takes them literally.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17, 12, 5)] + [
    f"manylinux{year}_x86_64" for year in ("2014", "2010", "1")
]
LIMIT_MIB = 64


class PackError(PipelineError):
    """The folder is too large, incomplete, or for another Python."""


def download_wheels(folder: Path, python: str) -> None:
    """Fetch the locked versions, their hashes verified, for another Python than this one."""
    wheels = folder / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    for old in wheels.glob("*.whl"):
        old.unlink()
    with tempfile.TemporaryDirectory() as temporary:
        pins = Path(temporary) / "pins.txt"
        pins.write_text("\n".join(read_pins(LOCK.read_text(encoding="utf-8"))) + "\n")
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
        command += ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
        command += ["--python-version", python, "--implementation", "cp"]
        command += [option for name in PLATFORMS for option in ("--platform", name)]
        done = subprocess.run([*command, "--dest", str(wheels), "-r", str(pins)], check=False)
    if done.returncode:
        raise PackError(f"pip cannot fetch the wheels for Python {python}: it says why above")
    facts = {"python": python, "commit": read_commit()}
    (folder / "pack.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def read_pins(lock: str) -> list[str]:
    """Return the lock's blocks, version and hashes, of all packages in WHEELS.

    Raises:
        PackError: the lock has none or several versions of one.
    """
    pins = []
    for name in WHEELS:
        pattern = rf"^{re.escape(name)}==\S+ \\\n(?:    --hash=\S+(?: \\)?\n)+"
        found = re.findall(pattern, lock, re.MULTILINE)
        if len(found) != 1:
            raise PackError(f"{LOCK} has {len(found)} pins of {name}, not 1: make lock mends it")
        pins.append(found[0].rstrip())
    return pins


def is_installed(module: str) -> bool:
    package = module.rpartition(".")[0]
    return (not package or find_spec(package) is not None) and find_spec(module) is not None


def read_commit() -> str:
    """Return git's short name of the commit, `-dirty` where files differ, or `unknown`."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def check_size(folder: Path, limit_mib: int) -> int:
    """Return the bytes that travel: the folder, and the checkout that holds the code.

    Raises:
        PackError: they are more than the limit.
    """
    sizes = {path.resolve(): path.stat().st_size for path in list_travelling(folder)}
    total = sum(sizes.values())
    if total > limit_mib * 2**20:
        largest = max(sizes, key=lambda path: sizes[path])
        raise PackError(
            f"{folder} and the checkout have {total / 2**20:.1f} MiB, over the limit of "
            f"{limit_mib}; the largest file is {largest.name} with {sizes[largest] / 2**20:.1f}: "
            "use --leave-mirror where PIPELINE_MIRROR is on the other machine, or raise --limit"
        )
    return total


def list_travelling(folder: Path) -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    paths = {*folder.rglob("*"), *map(Path, done.stdout.split("\0")[:-1])}
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def describe_pack(folder: Path) -> str:
    n_wheels = len(list((folder / "wheels").glob("*.whl")))
    n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{folder}: {n_wheels} wheels, images and weights, {n_bytes / 2**20:.1f} MiB"


def use_wheels(folder: Path) -> None:
    """Let imports find what is in the wheels, first; nothing is installed.

    On another Python than theirs, what is installed has to do.

    Raises:
        PackError: `folder` was not made by `pack`, or a package is missing.
    """
    facts = read_facts(folder)
    if facts["python"] == "{}.{}".format(*sys.version_info):
        sys.path.insert(0, unpack(folder))
    missing = [name for name, module in WHEELS.items() if not is_installed(module)]
    if missing:
        here = sys.version.split()[0]
        raise PackError(
            f"{folder} has wheels for Python {facts['python']}, this is {here} and lacks "
            f"{', '.join(missing)}: pack again with --python {here.rpartition('.')[0]}"
        )


def unpack(folder: Path) -> str:
    """Unzip the wheels and return the path for imports, which goes when Python ends."""
    global _unpacked  # else it would go at once
    _unpacked = tempfile.TemporaryDirectory(prefix="wheels-")
    for wheel in sorted((folder / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(_unpacked.name)
    return _unpacked.name


_unpacked: tempfile.TemporaryDirectory[str] | None = None


def read_facts(folder: Path) -> dict[str, str]:
    try:
        facts: dict[str, str] = json.loads((folder / "pack.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        way_out = f"python -m benchmarks.gpu pack {folder} makes it"
        raise PackError(f"{folder} was not packed, or not to the end: {way_out}") from None
    return facts
