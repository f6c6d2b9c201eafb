"""A way to a server on this machine that can be cut and mended."""

import socket
import threading
from collections.abc import Callable


class Line:
    """Carries what comes to a port of its own on to a server's, and back.

    Args:
        listen: called with what is about to go to the server.
    """

    def __init__(self, target: int, listen: Callable[[bytes], None] = lambda _: None) -> None:
        self.target, self.listen = target, listen
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends: list[socket.socket] = []
        self._serve()

    def cut(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in self.ends:
            end.close()

    def mend(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self._serve()

    def _serve(self) -> None:
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                here, _ = listener.accept()
            except OSError:
                return
            try:
                there = socket.create_connection(("127.0.0.1", self.target))
            except OSError:  # the server has ended before the line
                here.close()
                continue
            self.ends += [here, there]
            ways = ((here, there, self.listen), (there, here, lambda _: None))
            for way in ways:
                threading.Thread(target=_carry, args=way, daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket, listen: Callable[[bytes], None]) -> None:
    try:
        while data := source.recv(65536):
            listen(data)
            sink.sendall(data)
    except OSError:
        pass
    finally:
        sink.close()
