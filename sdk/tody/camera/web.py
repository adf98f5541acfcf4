"""A page in a browser that shows frames as they come: MJPEG over HTTP, from the standard library."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from ..errors import CameraError, UsageError
from .source import Image, opencv

_BOUNDARY = "frame"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>tody</title><style>
html{color-scheme:light dark;font:16px system-ui,sans-serif}body{margin:0;min-height:100vh;display:flex;flex-direction:column}
header,footer{padding:.6rem 1rem}header{font-weight:600}footer{font-size:.85rem;opacity:.7}
main{flex:1;display:grid;place-items:center;background:#111}img{max-width:100%;max-height:88vh;min-width:min(100%,640px)}
</style></head><body><header>tody</header><main><img src="/stream" alt="live picture"></main>
<footer><a href="/frame.jpg">one picture</a> · <a href="/stream">stream only</a></footer></body></html>
"""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # clients that read slowly must not hold up the end of the program
    web: Web

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0  # of one write: a client that stopped reading is let go

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/":
            self._send(200, "text/html; charset=utf-8", _PAGE.encode())
        elif path == "/frame.jpg":
            jpeg, _ = self.server.web.next_jpeg(0)
            self._send(200 if jpeg else 503, "image/jpeg", jpeg)
        elif path == "/stream":
            self._stream()
        else:
            self._send(404, "text/plain", b"there is / and /stream and /frame.jpg\n")

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        number = 0
        while True:
            jpeg, number = self.server.web.next_jpeg(number)
            if not jpeg:
                return
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal belongs to the program."""


class Web:
    """Serves the newest frame to any number of browsers. A frame is encoded once, and only if somebody looks."""

    closed = False

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        try:
            port = 80 if parts.port is None else parts.port
        except ValueError as e:
            raise UsageError(f"{url} cannot be understood", str(e), "http://:8080") from e
        self._cv2 = opencv()
        try:
            self._server = _Server((parts.hostname or "", port), _Handler)
        except OSError as e:
            raise CameraError(
                f"{url} cannot be used", e.strerror or str(e), "choose another port, for example http://:8081"
            ) from e
        self._server.web = self
        self._changed = threading.Condition()
        self._image: Image | None = None
        self._jpeg = b""
        self._number = self._encoded = 0
        self._ended = False
        host = parts.hostname or socket.gethostname()
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True, name="tody-web")
        self._thread.start()

    def show(self, image: Image) -> None:
        with self._changed:
            self._image, self._number = image.copy(), self._number + 1
            self._changed.notify_all()

    def next_jpeg(self, after: int) -> tuple[bytes, int]:
        """The newest frame whose number is above `after` (waits for it) as JPEG, and its number; no bytes at the end."""
        until = time.monotonic() + 10.0
        with self._changed:
            while not self._ended and self._number <= after and time.monotonic() < until:
                self._changed.wait(0.5)
            if self._ended or (self._number <= after and not self._jpeg):
                return b"", after
            if self._encoded != self._number and self._image is not None:
                self._jpeg = self._cv2.imencode(".jpg", self._image)[1].tobytes()
                self._encoded = self._number
            return self._jpeg, self._number

    def close(self) -> None:
        """End every stream and give the port back."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
