"""A server on loopback that receives reports of errors, as Sentry does."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class SentryServer:
    """Receives reports at `dsn`. `bodies` are the requests as they were sent, and `reports` the events in them."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_compressed = self.headers.get("Content-Encoding") == "gzip"
                outer.bodies.append((gzip.decompress(body) if is_compressed else body).decode())
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.dsn = f"http://public@127.0.0.1:{self._server.server_port}/42"

    @property
    def reports(self) -> list[dict[str, Any]]:
        """The errors that were reported. In an envelope, each item follows a line with its header."""
        envelopes = [list(map(json.loads, body.splitlines())) for body in self.bodies]
        return [
            item
            for _, *items in envelopes
            for header, item in zip(items[::2], items[1::2], strict=True)
            if header["type"] == "event"
        ]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
