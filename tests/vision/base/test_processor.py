import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vision.base import processor
from vision.base.processor import count_cores, read_cpu_kind, read_cpu_name, read_quota


def write_cpuinfo(monkeypatch: pytest.MonkeyPatch, folder: Path, flags: str) -> None:
    file = folder / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu {flags}\n\n" * 2)
    monkeypatch.setattr(processor, "CPUINFO", file)


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ("avx2 avx512f avx512_bf16 amx_tile", "AMX"),
        ("avx2 avx512f avx512_bf16", "AVX512-bf16"),
        ("avx2 avx512f", "AVX512"),
        ("avx2", "AVX2"),
    ],
)
def test_the_kind_is_the_best_that_products_of_matrices_take(
    flags: str, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_cpuinfo(monkeypatch, tmp_path, flags)
    assert (read_cpu_name(), read_cpu_kind()) == ("A CPU", kind)


def test_elsewhere_than_on_linux_the_platform_has_a_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "none")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    monkeypatch.setattr("platform.processor", lambda: "")
    assert (read_cpu_name(), read_cpu_kind()) == ("arm64", "arm64")


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/", {"cpu.max": "50000 100000"}, 0.5),
        ("0::/", {"cpu.max": "max 100000"}, math.inf),
        ("0::/a/b", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 1.5),
        ("4:memory:/\n1:cpu,cpuacct:/a", {"cpu,cpuacct/a": (200000, 100000)}, 2.0),
        ("1:cpu:/of/the/host", {"cpu/": (50000, 100000)}, 0.5),
        ("1:cpu:/", {"cpu/": (-1, 100000)}, math.inf),
        ("0::/../elsewhere", {}, math.inf),
        ("", {}, math.inf),
    ],
)
def test_the_quota_is_the_smallest_of_the_groups_from_ones_own_upwards(
    groups: str,
    files: dict[str, str | tuple[int, int]],
    quota: float,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "own").write_text(groups)
    for name, content in files.items():
        path = tmp_path / "groups" / name
        if isinstance(content, str):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        else:
            path.mkdir(parents=True, exist_ok=True)
            for key, value in zip(("quota", "period"), content, strict=True):
                (path / f"cpu.cfs_{key}_us").write_text(str(value))
    monkeypatch.setattr(processor, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(processor, "CGROUPS", tmp_path / "groups")
    assert read_quota() == quota


@pytest.fixture
def half_a_core() -> Iterator[Path]:
    """A control group that has half a core's worth of time."""
    for top in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup"):
        folder = Path(top, f"test-{os.getpid()}")
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if (folder / "cpu.max").exists():
                (folder / "cpu.max").write_text("50000 100000")
            else:
                (folder / "cpu.cfs_quota_us").write_text("50000")
            yield folder
        except OSError:
            continue
        finally:
            folder.rmdir()
        return
    pytest.skip("no group for the processor can be made on this machine")


def test_half_a_core_is_one_thread(half_a_core: Path) -> None:
    enter = f"open('{half_a_core}/cgroup.procs', 'w').write('0')"
    count = "from vision.base.processor import count_cores, read_quota"
    code = f"{enter}; {count}; print(count_cores(), read_quota())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "1 0.5\n"
    assert count_cores() >= 1
