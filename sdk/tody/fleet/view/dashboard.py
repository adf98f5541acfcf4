"""The dashboard: one page without anything from elsewhere, made of the files in `page/`, and a server for this machine.

A browser does not know the fleet's certificate authority, and not every broker listens for WebSockets. So the server does not
only hand out the page: below `/mqtt` it takes the page's WebSocket, and passes MQTT on to the broker as the laptop speaks it,
with TLS and a certificate that may only read. A page in a file has no server: it speaks to the broker's WebSockets itself.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import hashlib
import json
import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...errors import TodyError, UsageError
from ..address import Address
from ..broker.broker import DASHBOARD, PORTS
from ..laptop.laptop import PAGE, Laptop
from .websocket import Guard, WebSocket, accept

SCRIPTS = ("mqtt.js", "signed.js", "fleet.js", "charts.js", "view.js")
PIECE = 1 << 16  # bytes that are passed on at once
TIMEOUT = 10.0  # seconds to reach the broker


@dataclass(frozen=True)
class Settings:
    """What a page has to know.

    Attributes:
        fleet: its name.
        url: of the broker's WebSockets (ws:// or wss://), or a path of the page's own server.
        user, password: of a broker's user that can only read; empty: none.
        once: the broker lets this name in once: of two tabs, the second waits.
        devices: device -> group, as far as they are known.
    """

    fleet: str
    url: str
    user: str = ""
    password: str = ""
    once: bool = False
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    root: str  # of all paths: if it is a secret, who does not know it gets nothing
    page: bytes
    broker: Address

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
        """Connect the page with the broker: its WebSocket here, MQTT over TCP there, which every broker has, and fast."""
        self.close_connection = True
        try:
            broker = _connect(self.server.broker)
        except (OSError, TodyError) as e:
            return self._send(502, "text/plain", f"the broker cannot be reached: {e}\n".encode())
        self.send_response(101)
        for key, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Protocol", "mqtt")):
            self.send_header(key, value)
        self.send_header("Sec-WebSocket-Accept", accept(self.headers.get("Sec-WebSocket-Key", "")))
        self.end_headers()
        page = WebSocket(self.connection)
        with broker:
            back = threading.Thread(target=_to_page, args=(broker, page, self.connection), daemon=True)
            back.start()
            _to_broker(page, broker)
            back.join()
        return None

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal belongs to the program."""


def _connect(address: Address) -> socket.socket:
    """Raises OSError or TodyError when nobody is there, or somebody else."""
    context = address.context()
    plain = socket.create_connection((address.host, address.port), TIMEOUT)
    plain.settimeout(None)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname=address.host) if context else plain


def _to_broker(page: WebSocket, broker: socket.socket) -> None:
    """Pass on what a page may say, until either side is gone."""
    guard = Guard()
    with suppress(OSError, ValueError):
        while content := page.receive():
            broker.sendall(guard.passed(content))
    _end(broker)


def _to_page(broker: socket.socket, page: WebSocket, connection: socket.socket) -> None:
    with suppress(OSError):
        while content := broker.recv(PIECE):
            page.send(content)
    _end(connection)


def _end(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def served(settings: Settings, broker: Address, port: int = 0) -> Iterator[str]:
    """The page on this machine for as long as the context lasts; gives its address.

    If the broker wants a certificate, nobody can guess the address: the machine may have other users.

    Args:
        settings: their `url` does not count: the page speaks through its server.
        broker: as whom the server reaches it.
        port: 0: any that is free.

    Raises:
        UsageError: the port is taken.
    """
    try:
        server = _Server(("127.0.0.1", port), _Handler)
    except OSError as e:
        raise UsageError(f"port {port} cannot be used", e.strerror or str(e), "--port 0 takes any that is free") from e
    server.root = f"/{secrets.token_urlsafe(12)}/" if broker.tls else "/"
    server.broker = broker
    server.page = page(replace(settings, url=f"{server.root}mqtt")).encode()
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True, name="tody-dashboard")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{server.root}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def through(fleet: Laptop) -> tuple[Settings, Address]:
    """For `served`: the settings of the fleet's page, and how its server reaches the broker.

    Raises:
        UsageError: no broker is known, or its address cannot be used.
    """
    own = fleet.identity / PAGE  # a broker that somebody else has set up knows the laptop only
    address = Address.parse(fleet.broker, own) if own.is_dir() else fleet.link().address
    return Settings(fleet.fleet, "", once=address.tls is not None, devices=fleet.devices), address


def direct(fleet: Laptop, url: str | None = None, user: str | None = None) -> Settings:
    """For a page that speaks to the broker's WebSockets itself.

    Args:
        url: ws:// or wss://; otherwise what `tody broker init` wrote down, or a demo broker on this machine.
        user: whose password; otherwise the first.

    Raises:
        UsageError: no broker is known, there is no such user, or the URL is none.
    """
    entry = _entry(fleet, user)
    url = url or entry.get("url")
    if not url and not fleet.broker.startswith("mqtt://"):
        why = f"{fleet.identity / DASHBOARD} is not there"
        raise UsageError("it is not known where the broker's WebSockets are", why, "tody broker init; or --url wss://HOST:8884")
    url = url or f"ws://127.0.0.1:{PORTS['ws']}"
    if urlsplit(url).scheme not in ("ws", "wss") or not urlsplit(url).hostname:
        hint = "wss://HOST:8884, or ws://127.0.0.1:9001"
        raise UsageError(f"{url!r} is no address of a broker's WebSockets", "it has no host, or another scheme", hint)
    known, password = entry.get("user", ""), entry.get("password", "")
    return Settings(fleet.fleet, url, known, password, bool(known), fleet.devices)


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
