"""The dashboard: one page without anything from elsewhere, made of the files in `page/`, and a server for this machine.

A browser does not know the fleet's certificate authority, and asks its user about every certificate it does not know. So the
server does not only hand out the page: below `/mqtt` it passes the page's WebSocket on to the broker, and proves who that is.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import hashlib
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import UsageError
from .broker import DASHBOARD
from .broker import PORTS as BROKER_PORTS
from .laptop import Laptop
from .mqtt import AUTHORITY

SCRIPTS = ("mqtt.js", "signed.js", "fleet.js", "charts.js", "view.js")
PORTS = {"ws": 80, "wss": 443}
PIECE = 1 << 16  # bytes that are passed on at once
TIMEOUT = 10.0  # seconds to reach the broker
HANDSHAKE = ("Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol")


@dataclass(frozen=True)
class Settings:
    """What a page has to know.

    Attributes:
        fleet: its name.
        url: of the broker's WebSockets (ws:// or wss://), or a path of the page's own server.
        user, password: of a broker's user that can only read; empty: none.
        devices: device -> group, as far as they are known.
    """

    fleet: str
    url: str
    user: str = ""
    password: str = ""
    devices: Mapping[str, str] = field(default_factory=dict)


def page(settings: Settings) -> str:
    """The page: HTML with styles, scripts and settings in it. Its policy lets nothing else run and speaks to nobody else."""
    folder = Path(__file__).parent / "page"
    style = (folder / "page.css").read_text()
    script = "".join((folder / name).read_text().replace('"use strict";\n', "") for name in SCRIPTS)
    script = f'"use strict";\n{script}'
    parts = urlsplit(settings.url)
    speaks_to = f"{parts.scheme}://{parts.netloc}" if parts.netloc else "'self'"
    policy = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "connect-src": speaks_to,
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    # In a script element only `<` could end it.
    facts = json.dumps({**vars(settings), "devices": dict(settings.devices)}).replace("<", "\\u003c")
    fill = {"policy": "; ".join(f"{key} {value}" for key, value in policy.items()), "style": style, "script": script}
    html = (folder / "page.html").read_text()
    for key, value in {**fill, "settings": facts}.items():
        html = html.replace(f"{{{{{key}}}}}", value, 1)
    return html


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


@dataclass(frozen=True)
class Upstream:
    """Where a broker's WebSockets are.

    Attributes:
        tls: proves who the broker is; None: without TLS, for a broker on this machine.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @staticmethod
    def parse(url: str, authority: Path | None = None) -> Upstream:
        """ws://127.0.0.1:9001, or wss://host:8884 with the certificate of the broker's authority.

        Raises:
            UsageError: the URL is none, or its authority's certificate cannot be read.
        """
        parts = urlsplit(url)
        try:
            port = parts.port or PORTS[parts.scheme]
            host = parts.hostname or ""
            if not host:
                raise ValueError("it names no host")
            tls = ssl.create_default_context(cafile=authority and str(authority)) if parts.scheme == "wss" else None
        except (KeyError, ValueError) as e:
            hint = "ws://127.0.0.1:9001, or wss://HOST:8884"
            raise UsageError(f"{url!r} is no address of a broker's WebSockets", str(e), hint) from e
        except OSError as e:
            raise UsageError(f"{authority} cannot be used", e.strerror or str(e), "tody broker init makes it") from e
        return Upstream(host, port, tls)

    def connect(self) -> socket.socket:
        """Raises OSError when nobody is there, or somebody else."""
        plain = socket.create_connection((self.host, self.port), TIMEOUT)
        plain.settimeout(None)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls.wrap_socket(plain, server_hostname=self.host) if self.tls else plain


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    root: str  # of all paths: where there is a password, who does not know it gets nothing
    page: bytes
    upstream: Upstream

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not self._is_from_here():
            self._send(403, "text/plain", b"a page from elsewhere has no business here\n")
        elif path == self.server.root:
            self._send(200, "text/html; charset=utf-8", self.server.page)
        elif path == f"{self.server.root}mqtt" and self.headers.get("Upgrade", "").lower() == "websocket":
            self._pass_on()
        else:
            self._send(404, "text/plain", b"the address of the page is the one that tody fleet dashboard has printed\n")

    def _is_from_here(self) -> bool:
        """Not a page from elsewhere that the same browser shows, under its own name or with a name that leads here."""
        host = self.headers.get("Host", "")
        is_here = host.partition(":")[0] in ("127.0.0.1", "localhost")
        return is_here and self.headers.get("Origin", f"http://{host}") == f"http://{host}"

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.end_headers()
        self.wfile.write(body)

    def _pass_on(self) -> None:
        """Hand the WebSocket to the broker: its bytes are not looked at."""
        self.close_connection = True
        try:
            broker = self.server.upstream.connect()
        except OSError as e:
            return self._send(502, "text/plain", f"the broker cannot be reached: {e}\n".encode())
        upstream = self.server.upstream
        lines = ["GET /mqtt HTTP/1.1", f"Host: {upstream.host}:{upstream.port}", "Connection: Upgrade", "Upgrade: websocket"]
        lines += [f"{name}: {self.headers[name]}" for name in HANDSHAKE if name in self.headers]
        with broker:
            broker.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            back = threading.Thread(target=_pump, args=(broker, self.connection), daemon=True)
            back.start()
            _pump(self.connection, broker)
            back.join()
        return None

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal belongs to the program."""


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until either side is gone, then end both."""
    with suppress(OSError):
        while piece := source.recv(PIECE):
            target.sendall(piece)
    for side in (source, target):
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)


@contextmanager
def served(settings: Settings, upstream: Upstream, port: int = 0) -> Iterator[str]:
    """The page on this machine for as long as the context lasts; gives its address.

    If there is a password in it, nobody can guess the address: the machine may have other users.

    Args:
        settings: their `url` does not count: the page speaks through its server.
        port: 0: any that is free.

    Raises:
        UsageError: the port is taken.
    """
    try:
        server = _Server(("127.0.0.1", port), _Handler)
    except OSError as e:
        raise UsageError(f"port {port} cannot be used", e.strerror or str(e), "--port 0 takes any that is free") from e
    server.root = f"/{secrets.token_urlsafe(12)}/" if settings.password else "/"
    server.upstream = upstream
    facts = {**vars(settings), "url": f"{server.root}mqtt"}
    server.page = page(Settings(**facts)).encode()
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True, name="tody-dashboard")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{server.root}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def access(fleet: Laptop, url: str | None = None, user: str | None = None) -> tuple[Settings, list[Upstream]]:
    """How a page may look at a fleet: its settings, and where a server may reach the broker, the best first.

    Args:
        url: of the broker's WebSockets; otherwise what `tody broker init` wrote down, or a demo broker on this machine.
        user: whose password; otherwise the first.

    Raises:
        UsageError: no broker is known, there is no such user, or the URL is none.
    """
    entry = _entry(fleet, user)
    urls = [url] if url else [entry[key] for key in ("url", "local") if key in entry]
    if not urls:
        if not fleet.broker.startswith("mqtt://"):
            why = f"{fleet.identity / DASHBOARD} is not there"
            raise UsageError(
                "it is not known where the broker's WebSockets are", why, "tody broker init; or --url wss://HOST:8884"
            )
        urls = [f"ws://127.0.0.1:{BROKER_PORTS['ws']}"]
    authority = fleet.identity / AUTHORITY
    upstreams = [Upstream.parse(each, authority if authority.is_file() else None) for each in urls]
    return Settings(fleet.fleet, urls[0], entry.get("user", ""), entry.get("password", ""), fleet.devices), upstreams


def _entry(fleet: Laptop, user: str | None) -> dict[str, str]:
    """Of one dashboard, as `tody broker init` wrote it down; empty: there is none."""
    file = fleet.identity / DASHBOARD
    try:
        entries = json.loads(file.read_bytes()) if file.is_file() else []
        found = [{key: str(value) for key, value in entry.items()} for entry in entries if user in (None, entry["user"])]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        raise UsageError(f"{file} is not sound", str(e), "tody broker init --again writes it anew") from e
    if user and not found:
        there = ", ".join(str(entry["user"]) for entry in entries) or "none"
        raise UsageError(f"there is no dashboard {user}", f"{file} has {there}", f"tody broker init --again --dashboard {user}")
    return found[0] if found else {}
