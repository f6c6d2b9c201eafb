from pathlib import Path

import pytest

from vision.base import processor
from vision.base.processor import read_cpu_kind, read_cpu_name


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
