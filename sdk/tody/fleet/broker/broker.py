"""A hardened configuration for the broker mosquitto, in a folder that can be carried to the machine where it runs.

    mosquitto.conf    what it does; file names are relative, so it is started in this folder
    acl               who may read and write what, by the name in the certificate
    passwords         of the dashboards, hashed
    ca.crt, server.crt, server.key, crl.pem    who it is, whom it knows, and who is void
    data/             what it keeps

Written for mosquitto 2.0.11 (Debian 12); from 2.1 on, its plugin persist-sqlite may keep the messages.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import getpass
import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ..address import AUTHORITY, CERTIFICATE, KEY
from ..disk import FolderDisk, put
from ..laptop.laptop import CLIENT, PAGE, VIEWER, Laptop
from ..topics import Topics
from .certificates import DAYS, Authority

CONFIGURATION = "mosquitto.conf"
DASHBOARD = "dashboard.json"  # in the laptop's id/: how a dashboard reaches the broker
PORTS = {"mqtts": 8883, "wss": 8884, "ws": 9001}
MOST_PAYLOAD = 128 << 10  # bytes: twice a chunk
MOST_PACKET = (
    MOST_PAYLOAD + 4096
)  # a client that sends a larger one is hung up on: mosquitto's limit on payloads would be silent
_DASHBOARD = re.compile(r"dashboard(-[a-z0-9_-]{1,40})?")

_COMMON = """# tody's broker for the fleet {fleet}, started in this folder: tody broker run, or ports/linux/mosquitto.service.d
# If root starts it, it becomes the owner of these files.
user {user}
allow_anonymous false
acl_file acl
password_file passwords

{persistence}

set_tcp_nodelay true
max_packet_size {packet}
persistent_client_expiration 14d
pid_file mosquitto.pid
log_dest stderr
log_type error
log_type warning
log_type notice
log_timestamp_format %Y-%m-%dT%H:%M:%S
"""
_SNAPSHOTS = """\
# What is retained is on the disk within a minute. All of it is written every time: oftener would wear out SD cards.
persistence true
persistence_location data/
autosave_interval 60"""
_DATABASE = """# What is retained is on the disk after a second.
persistence_location data/
global_plugin {plugin}
plugin_opt_sync full
plugin_opt_flush_period 1"""
_DEVICES = """
# Devices, laptop and keeper: a certificate each, whose name is user and client id at once.
listener {mqtts}
cafile ca.crt
certfile server.crt
keyfile server.key
crlfile crl.pem
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
use_username_as_clientid true
"""
_DASHBOARDS = """
# Dashboards in a browser: a password that can only read; in the clear on this machine alone.
listener {wss}
protocol websockets
certfile server.crt
keyfile server.key
use_username_as_clientid true

listener {ws} 127.0.0.1
protocol websockets
use_username_as_clientid true
"""


@dataclass(frozen=True)
class Ports:
    """TCP ports: for devices, for dashboards with TLS, and for dashboards on the broker's own machine."""

    mqtts: int = PORTS["mqtts"]
    wss: int = PORTS["wss"]
    ws: int = PORTS["ws"]


@dataclass(frozen=True)
class Setup:
    """What the owner of a broker decides.

    Attributes:
        hosts: names and addresses by which devices reach it; the first is in the URL. This machine's are added.
        dashboards: names of those who may look; each gets a password.
        sqlite: where its machine has the plugin persist-sqlite of mosquitto 2.1, if it shall be used.
    """

    hosts: tuple[str, ...]
    ports: Ports = Ports()
    dashboards: tuple[str, ...] = ("dashboard",)
    sqlite: Path | None = None


def configuration(fleet: str, ports: Ports, sqlite: Path | None = None) -> str:
    """The content of `mosquitto.conf`.

    Args:
        sqlite: the plugin persist-sqlite of mosquitto 2.1, if it is there.
    """
    persistence = _DATABASE.format(plugin=sqlite) if sqlite else _SNAPSHOTS
    facts = {"fleet": fleet, "user": getpass.getuser(), "packet": MOST_PACKET}
    listeners = _DEVICES.format(**vars(ports)) + _DASHBOARDS.format(**vars(ports))
    return _COMMON.format(persistence=persistence, **facts) + listeners


def access(topics: Topics, dashboards: Sequence[str] = ("dashboard",)) -> str:
    """The content of `acl`. `%u` is the name in the client's certificate; patterns hold for every client."""
    prefix = topics.prefix
    patterns = [
        f"read {prefix}/repo/#",
        f"read {prefix}/g/+/desired",
        f"read {prefix}/ro/+/+",
        f"readwrite {prefix}/ro/+/%u",
        f"readwrite {prefix}/d/%u/up/+",
        f"read {prefix}/d/%u/down/+",
        "read homeassistant/status",
        "write homeassistant/+/%u/+/config",
    ]
    lines = [
        "# Every device: the repository, doorbells and results; its own topics, and no others.",
        *(f"pattern {p}" for p in patterns),
    ]
    users = {
        CLIENT: [f"readwrite {prefix}/#", "readwrite homeassistant/#"],
        VIEWER: [f"deny {prefix}/ro/+/{VIEWER}", f"read {prefix}/#"],
        "keeper": [f"read {prefix}/#", f"readwrite {prefix}/repo/#", f"readwrite {prefix}/g/+/desired"],
        "homeassistant": [f"read {prefix}/d/#", f"read {prefix}/ro/#", "readwrite homeassistant/#"],
        "telegraf": [f"read {prefix}/d/#", f"read {prefix}/ro/#"],
    }
    for dashboard in (PAGE, *dashboards):  # what the patterns would let it write is denied
        users[dashboard] = [
            f"deny {prefix}/d/{dashboard}/#",
            f"deny {prefix}/ro/+/{dashboard}",
            "deny homeassistant/#",
            f"read {prefix}/#",
        ]
    for user, rules in users.items():
        lines += ["", f"user {user}", *(f"topic {rule}" for rule in rules)]
    return "\n".join(lines) + "\n"


def password_line(user: str, password: str) -> str:
    """A line of mosquitto's password file: PBKDF2 with SHA-512. Our passwords are random, so few rounds do."""
    salt, rounds = secrets.token_bytes(12), 101
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, 64)
    return f"{user}:$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


def init(laptop: Laptop, authority: Authority, folder: Path, setup: Setup) -> str:
    """Write a broker's folder, and what the laptop needs to reach it; returns the broker's URL. Again, it renews all of that.

    Args:
        authority: made if there is none yet.

    Raises:
        UsageError: a host or name is none.
        TrustError: the passphrase does not open the authority's key.
    """
    for dashboard in setup.dashboards:
        if not _DASHBOARD.fullmatch(dashboard):
            raise UsageError(
                f"a dashboard cannot be called {dashboard!r}",
                "the broker tells dashboards by their names",
                "dashboard, or dashboard-anna",
            )
    if not authority.exists:
        authority.create(laptop.fleet)
    certificate, key = authority.issue_server(list(dict.fromkeys([*setup.hosts, "localhost", "127.0.0.1", "::1"])))
    passwords = {dashboard: secrets.token_urlsafe(18) for dashboard in setup.dashboards}
    disk = FolderDisk(folder)
    disk.make_folder("data")
    files = {
        CONFIGURATION: configuration(laptop.fleet, setup.ports, setup.sqlite).encode(),
        "acl": access(laptop.topics, setup.dashboards).encode(),
        "passwords": "".join(password_line(*pair) for pair in passwords.items()).encode(),
        "server.crt": certificate,
        "server.key": key,
    }
    for file, content in files.items():
        put(disk, file, [content])
    hand_over(authority, folder)
    issue_identity(authority, CLIENT, laptop.identity)
    for viewer in (VIEWER, PAGE):
        issue_identity(authority, viewer, laptop.identity / viewer)
    _write_dashboards(laptop, passwords, setup)
    laptop.broker = f"mqtts://{_bracketed(setup.hosts[0])}:{setup.ports.mqtts}"
    laptop.save()
    return laptop.broker


def hand_over(authority: Authority, folder: Path) -> None:
    """Give a broker's folder the authority's certificate, and its list of what is void."""
    put(FolderDisk(folder), AUTHORITY, [authority.certificate])
    put(FolderDisk(folder), "crl.pem", [authority.revoked])


def issue_identity(authority: Authority, client: str, folder: Path, days: float = DAYS["client"]) -> None:
    """Put an identity into a folder: for services, which have their keys made here. Devices make their own."""
    certificate, key = authority.issue(client, days)
    for file, content in {AUTHORITY: authority.certificate, CERTIFICATE: certificate, KEY: key}.items():
        put(FolderDisk(folder), file, [content])


def _write_dashboards(laptop: Laptop, passwords: dict[str, str], setup: Setup) -> None:
    urls = {"url": f"wss://{_bracketed(setup.hosts[0])}:{setup.ports.wss}", "local": f"ws://127.0.0.1:{setup.ports.ws}"}
    entries = [{"user": user, "password": password, **urls} for user, password in passwords.items()]
    put(FolderDisk(laptop.identity), DASHBOARD, [json.dumps(entries, indent=1).encode() + b"\n"])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
