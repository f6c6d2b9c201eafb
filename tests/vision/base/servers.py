"""A local HTTP server that serves bytes from memory, well or badly, for the tests of downloads."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ENDLESS = b"endless"
CUT_SHORT = b"cut short"


@dataclass
class Site:
    """What the server has, how it behaves, and what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)  # by path, such as /a.bin
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range
    conditions: list[str | None] = field(default_factory=list)  # If-Range of each
    resumes: bool = True
    heeds_conditions: bool = True
    headers: dict[str, str] = field(default_factory=dict)  # such as ETag, of every file
    statuses: list[int] = field(default_factory=list)  # of the first answers, in place of files
    retry_after: str = ""  # said with those statuses
    breaks: list[int] = field(default_factory=list)  # bytes after which the first bodies end
    stalls: bool = False  # at a break, for a second, rather than hang up
    wait_s: float = 0  # before each answer
    url: str = ""


@contextmanager
def serving(**files: bytes) -> Iterator[Site]:
    """Serve `name=content` as /name.bin on 127.0.0.1 until the block ends."""
    site = Site({f"/{name}.bin": content for name, content in files.items()})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, start = self.path.partition("?")[0], self.headers.get("Range")
            site.asked.append((self.path, start))
            site.conditions.append(condition := self.headers.get("If-Range"))
            time.sleep(site.wait_s)
            if site.statuses:
                self.refuse(site.statuses.pop(0))
            elif (content := site.files.get(path)) is None:
                self.refuse(404)
            elif start and site.resumes and self.is_met(condition):
                self.send_rest(content, int(start[len("bytes=") : -1]))
            else:
                self.send_rest(content, 0)

        def is_met(self, condition: str | None) -> bool:
            """Whether the file is the one that the client began with."""
            known = (site.headers.get("ETag"), site.headers.get("Last-Modified"))
            return condition is None or not site.heeds_conditions or condition in known

        def refuse(self, status: int) -> None:
            self.send_response(status)
            if site.retry_after:
                self.send_header("Retry-After", site.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send_rest(self, content: bytes, offset: int) -> None:
            if offset >= len(content):
                self.refuse(416)
                return
            self.send_response(206 if offset else 200)
            for header in site.headers.items():
                self.send_header(*header)
            if offset:
                end = f"{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", f"bytes {offset}-{end}")
            if content != ENDLESS:
                extra = 7 if content.startswith(CUT_SHORT) else 0
                self.send_header("Content-Length", str(len(content) - offset + extra))
            self.end_headers()
            self.send_body(content[offset:])

        def send_body(self, body: bytes) -> None:
            if site.breaks:
                self.wfile.write(body[: site.breaks.pop(0)])
                time.sleep(site.stalls)
                return
            self.wfile.write(body)
            while body == ENDLESS:
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
