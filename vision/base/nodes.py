"""Where the machines that train one network together meet, as the environment says."""

import os
import socket
from typing import NamedTuple

import psutil

from vision.base.errors import ParamsError, TrainingError

NODES = "PIPELINE_NODES"  # environment variable: how many; 2, or from 1 to 4: 1:4
RENDEZVOUS = "PIPELINE_RENDEZVOUS"  # environment variable: HOST:PORT; HOST is one of them


class Nodes(NamedTuple):
    """The machines that train together."""

    least: int = 1
    most: int = 1
    rendezvous: str = ""  # HOST:PORT

    @property
    def are_several(self) -> bool:
        return self.most > 1


def read_nodes() -> Nodes:
    """Return which machines a training should have.

    Raises:
        ParamsError: PIPELINE_NODES is no number of machines, or there is no address to meet at.
    """
    text, address = os.environ.get(NODES) or "1", os.environ.get(RENDEZVOUS) or ""
    least, _, most = text.partition(":")
    numbers = [least, most or least]
    if not all(map(str.isdigit, numbers)) or not 1 <= int(numbers[0]) <= int(numbers[1]):
        raise ParamsError(f"{NODES} is {text!r}; give a number of machines, or 1:4 for 1 to 4")
    nodes = Nodes(int(numbers[0]), int(numbers[1]), address)
    host, _, port = address.rpartition(":")
    if nodes.are_several and not (host and port.isdigit()):
        raise ParamsError(f"{RENDEZVOUS} is {address!r}; give HOST:PORT of one of the machines")
    return nodes


def find_address(rendezvous: str) -> str:
    """Return this machine's address on the way to another: its name may stand for 127.0.1.1.

    Raises:
        TrainingError: there is no such machine, or no way to it.
    """
    host, _, port = rendezvous.rpartition(":")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
            way.connect((host, int(port)))  # sends nothing
            return str(way.getsockname()[0])
    except OSError as error:
        raise TrainingError(
            f"{RENDEZVOUS} is {rendezvous}, to which there is no way ({error}): give HOST:PORT of "
            "a machine that all others reach"
        ) from None


def is_host(rendezvous: str) -> bool:
    """Say whether this machine is where the others meet, and no other training has the port."""
    host, _, port = rendezvous.rpartition(":")
    try:
        with socket.socket() as place:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind((host, int(port)))
    except OSError:
        return False
    return True


def find_interface(address: str) -> str | None:
    """Return the name of the network interface that has an address."""
    for name, addresses in psutil.net_if_addrs().items():
        if address in [entry.address for entry in addresses]:
            return name
    return None
