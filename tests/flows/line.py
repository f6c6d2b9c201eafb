"""Ways to a server on this machine that can be cut and mended, or lose single answers."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

BUSY = httpx.codes.SERVICE_UNAVAILABLE  # as Prefect's server says where its database is locked


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


@contextmanager
def faulty(url: str, busy: str = "", lossy: str = "") -> Iterator[str]:
    """Yield the address of a way to a server on which two requests go wrong, each the first time.

    Args:
        url: of the server.
        busy: in the path of the one that is answered by BUSY and does not go to the server.
        lossy: in the path of the one that does, and whose answer does not come back.
    """
    faults = {busy, lossy} - {""}

    class Way(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = next((each for each in faults if each in self.path), "")
            faults.discard(fault)
            if fault and fault == busy:
                self.send_error(BUSY)
                return
            answer = httpx.request(
                self.command,
                f"{url}{self.path}",
                content=body,
                headers={"Content-Type": "application/json"},
                trust_env=False,
            )
            if not fault:
                self.send_response(answer.status_code)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

        do_POST = do_GET

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Way) as way:
        threading.Thread(target=way.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{way.server_port}"
        finally:
            way.shutdown()
    assert not faults, "not all went wrong"
