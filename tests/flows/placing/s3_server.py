"""An S3 server on loopback, moto's, that notes what it is asked for and that outlives a kill.

python -m tests.flows.placing.s3_server PORT FOLDER BUCKET KEY

FOLDER/seen.jsonl    of each request: method, path, status, bytes received and sent
FOLDER/kept.jsonl    what has changed its objects: moto holds them in memory, so the next start
                     repeats it
"""

import base64
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

REFUSAL = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>InvalidAccessKeyId</Code><Message>There is no such key.</Message></Error>"""


class Journal:
    """Passes requests on to moto, one at a time, and notes them."""

    def __init__(self, folder: Path, key: str) -> None:
        self.app = DomainDispatcherApplication(create_backend_app)
        self.seen, self.kept, self.key = folder / "seen.jsonl", folder / "kept.jsonl", key
        self.lock = Lock()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        body = request.get_data()
        with self.lock:
            response = self._answer(request, body)
        sent = 0 if request.method == "HEAD" else len(response.get_data())
        row = [request.method, request.path, response.status_code, len(body), sent]
        _add(self.seen, row)
        return response(environ, start)

    def _answer(self, request: Request, body: bytes) -> Response:
        if self.key not in request.headers.get("Authorization", ""):
            return Response(REFUSAL, 403, mimetype="application/xml")
        environ = request.environ | {
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
        }
        response = Response.from_app(self.app, environ)
        if request.method in ("PUT", "POST", "DELETE") and response.status_code < 300:
            path = request.full_path.removesuffix("?")
            headers = {name: text for name, text in request.headers if name != "Transfer-Encoding"}
            _add(self.kept, [request.method, path, headers, base64.b64encode(body).decode()])
        return response

    def repeat(self) -> None:
        """Bring moto to where an earlier process of it was."""
        client = Client(self.app)
        for method, path, headers, body in _read(self.kept):
            client.open(path, method=method, headers=headers, data=base64.b64decode(body))

    def make_bucket(self, name: str) -> None:
        Client(self.app).put(f"/{name}", headers={"Host": "127.0.0.1"})


class Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: the journal does."""


def _add(path: Path, row: list[Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def _read(path: Path) -> Iterator[list[Any]]:
    lines = path.read_text().splitlines() if path.exists() else []
    yield from map(json.loads, lines)


def main(port: str, folder: str, bucket: str, key: str) -> None:
    journal = Journal(Path(folder), key)
    journal.make_bucket(bucket)
    journal.repeat()
    options = {"threaded": True, "request_handler": Quiet}
    make_server("127.0.0.1", int(port), journal, **options).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
