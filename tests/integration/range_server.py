"""Serves one file on 127.0.0.1 by ranges: ``range_server.py FILE well|fails|stalls``; prints its port.

A process of its own: GDAL holds Python's lock while it opens a file, so a server in the same process could not answer.
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FILE, TROUBLE = Path(sys.argv[1]), sys.argv[2]
CONTENT = FILE.read_bytes()
LATER = len(CONTENT) // 2
"""From here on there is trouble."""


class Handler(BaseHTTPRequestHandler):
    """Answers HEAD and GET with ranges, for the file alone."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        """Tells the size."""
        known = self.path == f"/{FILE.name}"
        self.answer(200 if known else 404, b"", len(CONTENT) if known else 0)

    def do_GET(self) -> None:
        """Gives a range."""
        if self.path != f"/{FILE.name}":
            self.answer(404, b"", 0)
            return
        wanted = self.headers.get("Range", f"bytes=0-{len(CONTENT) - 1}").removeprefix("bytes=")
        first, last = (int(number) for number in wanted.split("-"))
        # the directory of the file stands at its end and is read first: that part goes well
        if LATER < first < len(CONTENT) - 100_000 and TROUBLE == "fails":
            self.answer(500, b"out of order", 12)
            return
        if LATER < first < len(CONTENT) - 100_000 and TROUBLE == "stalls":
            time.sleep(30)
        part = CONTENT[first : last + 1]
        self.answer(206, part, len(part), f"bytes {first}-{first + len(part) - 1}/{len(CONTENT)}")

    def answer(self, status: int, content: bytes, length: int, span: str = "") -> None:
        """Sends an answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        if span:
            self.send_header("Content-Range", span)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)  # noqa: T201 (the caller reads it)
server.serve_forever()
