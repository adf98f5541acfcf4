"""The fleet's own certificate authority: it says who is the broker, the laptop or a device, and who no longer is.

    ca.crt         its certificate, which everybody has
    ca.key         its key, encrypted; never leaves the laptop
    crl.pem        the certificates that are void, for the broker
    issued.json    every certificate: serial, name, when it ends, when it was made void

Keys are of the curve P-256: every TLS library has it. https://www.rfc-editor.org/rfc/rfc5280
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ..disk import FolderDisk, put
from ..documents import name
from ..laptop.keys import NEW
from .x509 import MOST_REQUEST, START, X509

DAYS = {"authority": 7300, "server": 825, "client": 730}
Ask = Callable[[str], str]


class Authority:
    """In a folder of the laptop.

    Args:
        folder: made if it is not there; only its owner may read it.
        ask: called for the passphrase of the authority's key when it is needed.
        now: the time, with its zone.

    Raises:
        MissingExtraError: the package cryptography is not installed.
    """

    def __init__(self, folder: Path, ask: Ask, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> None:
        self._x509 = X509()
        self.folder, self._disk, self._ask, self._now = folder, FolderDisk(folder), ask, now
        self._opened: Any = None

    @property
    def exists(self) -> bool:
        return (self.folder / "ca.key").is_file()

    @property
    def certificate(self) -> bytes:
        """The authority's certificate, PEM."""
        return (self.folder / "ca.crt").read_bytes()

    @property
    def revoked(self) -> bytes:
        """The list of certificates that are void, PEM."""
        return (self.folder / "crl.pem").read_bytes()

    def create(self, fleet: str) -> None:
        """Make the authority of a fleet.

        Raises:
            UsageError: there is one already, or the passphrase is empty.
        """
        if self.exists:
            raise UsageError(
                f"{self.folder} holds an authority already", "its certificates would be void", "name another folder"
            )
        passphrase = self._ask(f"{NEW}certificate authority").encode()
        if not passphrase:
            raise UsageError("the passphrase is empty", "whoever finds the file could make devices", "choose one")
        key = self._x509.new_key()
        subject = self._x509.name(f"tody {fleet}")
        certificate = self._x509.authority(key, subject, START, self._now() + timedelta(days=DAYS["authority"]))
        self._opened = key
        put(self._disk, "ca.crt", [self._x509.pem(certificate)])
        self._write_list([])
        self._record([])
        put(self._disk, "ca.key", [self._x509.private(key, passphrase)])

    def issue(self, client: str, days: float = DAYS["client"]) -> tuple[bytes, bytes]:
        """A certificate and a new key for a client of this machine, both PEM. `sign` is for the keys of others.

        Raises:
            UsageError: the name is none.
            TrustError: the passphrase does not open the authority's key (code passphrase).
        """
        key = self._x509.new_key()
        return self._certify(_client(client), key.public_key(), days), self._x509.private(key)

    def issue_server(self, hosts: Sequence[str], days: float = DAYS["server"]) -> tuple[bytes, bytes]:
        """A certificate and a new key for a broker that is reached by these names or addresses, both PEM.

        Raises:
            UsageError: a host is neither a name nor an address.
            TrustError: the passphrase does not open the authority's key (code passphrase).
        """
        names = [self._x509.host(host) for host in hosts]
        key = self._x509.new_key()
        return self._certify(hosts[0], key.public_key(), days, names), self._x509.private(key)

    def sign(self, request: bytes, client: str, days: float = DAYS["client"]) -> bytes:
        """The certificate for a client that has made its key itself. Of the request only its key is used.

        Args:
            request: a PKCS#10 request, PEM.

        Raises:
            TrustError: the request is not sound, not of that client, or its key is not of P-256; or the passphrase is wrong.
        """
        key = self._x509.requested(request[: MOST_REQUEST + 1], _client(client))
        return self._certify(client, key, days)

    def revoke(self, client: str) -> int:
        """Make every certificate of a client void; returns how many there were. The broker has to be given the new list.

        Raises:
            TrustError: the passphrase does not open the authority's key (code passphrase).
        """
        issued = self.issued
        void = [entry for entry in issued if entry["name"] == client and entry["revoked"] is None]
        for entry in void:
            entry["revoked"] = self._seconds()
        self._write_list(issued)
        self._record(issued)
        return len(void)

    def _certify(self, common: str, key: Any, days: float, hosts: Sequence[Any] = ()) -> bytes:
        issued, until = self.issued, self._now() + timedelta(days=days)
        certificate = self._x509.leaf(common, key, (START, until), hosts, self._x509.load(self.certificate), self._key())
        entry = {"serial": f"{certificate.serial_number:x}", "name": common, "until": int(until.timestamp()), "revoked": None}
        self._record([*issued, entry])
        return self._x509.pem(certificate)

    @property
    def issued(self) -> list[dict[str, Any]]:
        """As `issued_by` has it."""
        return issued_by(self.folder)

    def _write_list(self, issued: list[dict[str, Any]]) -> None:
        void = [(int(entry["serial"], 16), entry["revoked"]) for entry in issued if entry["revoked"] is not None]
        crl = self._x509.revocations(void, self._x509.load(self.certificate), self._key(), self._now())
        put(self._disk, "crl.pem", [self._x509.pem(crl)])

    def _record(self, issued: list[dict[str, Any]]) -> None:
        put(self._disk, "issued.json", [json.dumps(issued, indent=1).encode() + b"\n"])

    def _key(self) -> Any:
        if self._opened is None:
            passphrase = self._ask("the passphrase of the certificate authority").encode()
            self._opened = self._x509.open_key((self.folder / "ca.key").read_bytes(), passphrase)
        return self._opened

    def _seconds(self) -> int:
        return int(self._now().timestamp())


def issued_by(folder: Path) -> list[dict[str, Any]]:
    """Every certificate of an authority: serial, name, and in seconds since 1970 `until` and `revoked`, None while it is valid.

    Raises:
        UsageError: there is no authority, or its list is damaged.
    """
    if not (folder / "ca.key").is_file():
        raise UsageError(f"{folder} holds no authority", "it has no ca.key", "tody broker init makes one")
    try:
        return list(json.loads((folder / "issued.json").read_bytes()))
    except (ValueError, TypeError, FileNotFoundError) as e:
        raise UsageError(f"{folder / 'issued.json'} is damaged", str(e), "restore it from your backup") from e


def common_name(certificate: bytes) -> str:
    """The name in a certificate, PEM.

    Raises:
        UsageError: it is none.
        MissingExtraError: the package cryptography is not installed.
    """
    x509 = X509()
    try:
        return str(next(attribute.value for attribute in x509.load(certificate).subject))
    except (ValueError, StopIteration) as e:
        raise UsageError("the certificate is damaged", str(e), "enrol again: tody enroll") from e


def _client(text: str) -> str:
    try:
        return name(text)
    except ValueError as e:
        raise UsageError(f"a device cannot be called {text!r}", str(e), "door, or door-2") from e
