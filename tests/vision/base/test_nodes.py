"""Two machines train one network: two network namespaces stand in for them."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from tests.flows.toy import wait_until
from tests.projects import ROOT
from tests.skips import skip_without
from tests.warm import QUICK
from vision.base.errors import ParamsError, TrainingError
from vision.base.files import read_json
from vision.base.fingerprint import KEY_DIGITS
from vision.base.nodes import (
    NODES,
    RENDEZVOUS,
    Nodes,
    find_address,
    find_interface,
    read_nodes,
)

ADDRESSES = ("10.77.0.1", "10.77.0.2")
MEETING = f"{ADDRESSES[0]}:29400"
START = """
import sys
from vision.base.launching import launch
from vision.base.nodes import read_nodes
sys.exit(launch(1, "tests.vision.training.distributed_fit", sys.argv[1:], read_nodes()))
"""
PATHS = os.pathsep.join([str(ROOT), QUICK["PYTHONPATH"]])
FIT = ["-m", "tests.vision.training.distributed_fit"]
SMALL = [".", "5", "3", "2"]  # folder, images of a class, epochs, seconds after each
KEPT = f"fit-{'0' * KEY_DIGITS}.json"  # is there when the first epoch has ended


class Host(NamedTuple):
    """A network namespace, in which a program sees one network card of its own."""

    name: str

    def start(self, folder: Path, *arguments: str, nodes: str = "2") -> subprocess.Popen[str]:
        """Start this machine's part of a training, with the folder as its disk."""
        folder.mkdir(exist_ok=True)
        settings = {NODES: nodes, RENDEZVOUS: MEETING, "PYTHONPATH": PATHS}
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, sys.executable, "-c", START, *arguments],
            cwd=folder,
            env=os.environ | settings | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[Host]]:
    """Two machines with a cable between them."""
    hosts = [Host(f"pipeline-{os.getpid()}-{number}") for number in (1, 2)]
    cards = [f"pl{os.getpid()}-{number}" for number in (1, 2)]
    if os.geteuid() or not shutil.which("ip"):
        skip_without(
            "root and ip", "network namespaces stand in for machines: apt install iproute2"
        )
    try:
        for host in hosts:
            ip("netns", "add", host.name)
    except subprocess.CalledProcessError:
        skip_without("network namespaces", "run it where `ip netns add` may make one")
    try:
        ip("link", "add", cards[0], "type", "veth", "peer", "name", cards[1])
        for host, card, address in zip(hosts, cards, ADDRESSES, strict=True):
            ip("link", "set", card, "netns", host.name)
            ip("-n", host.name, "addr", "add", f"{address}/24", "dev", card)
            ip("-n", host.name, "link", "set", card, "up")
            ip("-n", host.name, "link", "set", "lo", "up")
        yield hosts
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "del", host.name], check=False, capture_output=True)


def end(run: subprocess.Popen[str]) -> str:
    try:
        output, _ = run.communicate(timeout=120)
    finally:
        run.kill()
    assert run.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def undisturbed(hosts: list[Host], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of two machines that trained together."""
    folders = [tmp_path_factory.mktemp(f"machine-{number}") for number in (1, 2)]
    runs = [host.start(folder, *SMALL) for host, folder in zip(hosts, folders, strict=True)]
    for output in map(end, runs):
        assert "2 processes on 2 machines" in output
    return folders


@pytest.mark.slow
def test_two_machines_give_what_one_process_gives(undisturbed: list[Path], tmp_path: Path) -> None:
    settings = os.environ | {"PYTHONPATH": PATHS}
    subprocess.run([sys.executable, *FIT, *SMALL], cwd=tmp_path, env=settings, check=True)
    expected = load_file(tmp_path / "last.safetensors")
    for folder in undisturbed:  # each has the results
        for key, value in load_file(folder / "last.safetensors").items():
            assert torch.allclose(value, expected[key], rtol=1e-7, atol=1e-9), key


@pytest.mark.slow
def test_when_a_machine_dies_another_takes_its_place_and_all_go_on_from_the_checkpoint(
    hosts: list[Host], undisturbed: list[Path], tmp_path: Path
) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    stays = hosts[0].start(first, *SMALL)
    dies = hosts[1].start(second, *SMALL)
    wait_until((first / KEPT).exists)
    dies.send_signal(signal.SIGKILL)
    dies.communicate(timeout=60)
    comes = hosts[1].start(third, *SMALL)  # with an empty disk
    assert "going on after epoch 1/3, found in another machine" in end(comes)
    assert "going on after epoch 1/3, found in fit-" in end(stays)
    for folder in (first, third):
        for name in ("last.safetensors", "history.json"):
            assert (folder / name).read_bytes() == (undisturbed[0] / name).read_bytes()


@pytest.mark.slow
def test_where_one_machine_will_do_it_goes_on_alone(hosts: list[Host], tmp_path: Path) -> None:
    stays = hosts[0].start(tmp_path / "first", *SMALL, nodes="1:2")
    dies = hosts[1].start(tmp_path / "second", *SMALL, nodes="1:2")
    wait_until((tmp_path / "first" / KEPT).exists)
    dies.send_signal(signal.SIGKILL)
    dies.communicate(timeout=60)
    assert "note: another process of this training has ended" in end(stays)
    assert len(read_json(tmp_path / "first/history.json")) == 3


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({NODES: "two"}, "PIPELINE_NODES is 'two'; give a number of machines, or 1:4"),
        ({NODES: "0"}, "PIPELINE_NODES is '0'"),
        ({NODES: "3:2", RENDEZVOUS: MEETING}, "PIPELINE_NODES is '3:2'"),
        ({NODES: "2"}, "PIPELINE_RENDEZVOUS is ''; give HOST:PORT of one of the machines"),
        ({NODES: "2", RENDEZVOUS: "trainer-1"}, "PIPELINE_RENDEZVOUS is 'trainer-1'"),
    ],
)
def test_machines_that_cannot_be_are_refused(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ParamsError, match=said):
        read_nodes()


def test_without_a_word_there_is_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_nodes() == Nodes()
    monkeypatch.setenv(NODES, "1:4")
    monkeypatch.setenv(RENDEZVOUS, MEETING)
    assert read_nodes() == Nodes(1, 4, MEETING)


def test_a_machine_that_has_no_address_is_named() -> None:
    with pytest.raises(TrainingError, match=r"is nowhere\.invalid:1, to which there is no way"):
        find_address("nowhere.invalid:1")


def test_the_way_to_this_machine_itself_is_its_loopback() -> None:
    assert find_interface(find_address("127.0.0.1:1")) == "lo"
