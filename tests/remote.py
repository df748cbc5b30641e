"""Real servers on the loopback interface, for tests of videos behind an address."""

import contextlib
import email.utils
import hashlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Files:
    """What a server has and does, and what was asked of it."""

    def __init__(self):
        self.content = {}  # path -> bytes
        self.ranges = self.etags = True
        self.dates = False  # of the last change, a day ago
        self.tag = None  # of every file, whatever its content
        self.more = {}  # headers of every answer
        self.status = {}  # path -> what is answered instead
        self.kind = "video/mp4"
        self.cut_after = None  # bytes of an answer after which the line is closed
        self.delay = 0.0  # seconds
        self.drips = False  # lines of a head that never ends
        self.asked = []  # (path, Range or None)
        self.served = 0  # bytes
        self.address = ""

    def put(self, name, content):
        """Have a file; return its address."""
        self.content[f"/{name}"] = bytes(content)
        return f"{self.address}/{name}"

    def etag(self, path):
        """The tag of what is there now."""
        md5 = hashlib.md5(self.content[path], usedforsecurity=False).hexdigest()
        return f'"{self.tag or md5}"'

    def forget(self):
        """Count from here."""
        self.asked, self.served = [], 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        files = self.server.files
        path = self.path.partition("?")[0]
        path = self.path if self.path in files.content else path
        wanted = self.headers.get("Range")
        files.asked.append((path, wanted))
        time.sleep(files.delay)
        if files.drips:
            self._drip()
            return
        if path in files.status or path not in files.content:
            self._send(files.status.get(path, 404), b"", files.more)
            return
        content, headers = (
            files.content[path],
            {"Content-Type": files.kind, **files.more},
        )
        if files.etags:
            headers["ETag"] = files.etag(path)
            if self.headers.get("If-Match", headers["ETag"]) != headers["ETag"]:
                self._send(412, b"", headers)
                return
        if files.dates:
            headers["Last-Modified"] = email.utils.formatdate(
                time.time() // 86400 * 86400 - 86400, usegmt=True
            )
        status = 200
        if files.ranges and wanted:
            first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", wanted).groups())
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        self._send(status, content, headers)

    def _drip(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for _ in range(100):
                self.wfile.write(b"X-More: 1\r\n")
                time.sleep(0.05)

    def _send(self, status, content, headers=()):
        files = self.server.files
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        if files.cut_after is not None and len(content) > files.cut_after:
            content, self.close_connection = content[: files.cut_after], True
        pieces = [content[at : at + 65536] for at in range(0, len(content), 65536)]
        files.served += len(content[:65536])  # who asked may go on once it has the head
        try:
            self.end_headers()
            for number, piece in enumerate(pieces):
                files.served += len(piece) if number else 0
                self.wfile.write(piece)
        except OSError:  # who asked has gone
            self.close_connection = True

    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


@pytest.fixture
def web():
    """Serve files over HTTP."""
    pytest.importorskip("aiohttp")
    server = _Server(("127.0.0.1", 0), _Handler)
    server.files = Files()
    server.files.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server.files
    server.shutdown()
    server.server_close()
    thread.join()
