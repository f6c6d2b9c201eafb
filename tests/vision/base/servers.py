"""A local HTTP server that serves bytes from memory, well or badly, for the tests of downloads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ENDLESS = b"endless"
CUT_SHORT = b"cut short"


@dataclass
class Site:
    """What the server has, and what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)  # by path, such as /a.bin
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range
    resumes: bool = True
    url: str = ""


@contextmanager
def serving(**files: bytes) -> Iterator[Site]:
    """Serve `name=content` as /name.bin on 127.0.0.1 until the block ends."""
    site = Site({f"/{name}.bin": content for name, content in files.items()})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            start = self.headers.get("Range")
            site.asked.append((self.path, start))
            if (content := site.files.get(self.path.partition("?")[0])) is None:
                self.send_error(404)
                return
            offset = int(start[len("bytes=") : -1]) if start and site.resumes else 0
            if offset >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if offset else 200)
            if content != ENDLESS:
                extra = 7 if content.startswith(CUT_SHORT) else 0
                self.send_header("Content-Length", str(len(content) - offset + extra))
            self.end_headers()
            self.wfile.write(content[offset:])
            while content == ENDLESS:
                self.wfile.write(bytes(2**16))

        def handle(self) -> None:
            with suppress(OSError):  # the client hangs up, as it should on an endless body
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
