"""The fleet's own certificate authority: it says who is the broker, the laptop or a device, and who no longer is.

    ca.crt         its certificate, which everybody has
    ca.key         its key, encrypted; never leaves the laptop
    crl.pem        the certificates that are void, for the broker
    issued.json    every certificate: serial, name, when it ends, when it was made void

Keys are of the curve P-256: every TLS library has it. https://www.rfc-editor.org/rfc/rfc5280
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError, TrustError, UsageError
from .disk import FolderDisk, put
from .documents import name
from .keys import NEW

DAYS = {"authority": 7300, "server": 825, "client": 730}
MOST_REQUEST = 16 << 10  # bytes
# Certificates are valid from here on: a board without a battery may believe that it is years ago, and has to connect still.
START = datetime(2020, 1, 1, tzinfo=timezone.utc)
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
        self._x509 = _X509()
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
        """Every certificate: serial, name, `until` and `revoked` in seconds since 1970, the latter None while it is valid.

        Raises:
            UsageError: there is no authority, or its list is damaged.
        """
        if not self.exists:
            raise UsageError(f"{self.folder} holds no authority", "it has no ca.key", "tody broker init makes one")
        try:
            return list(json.loads((self.folder / "issued.json").read_bytes()))
        except (ValueError, TypeError, FileNotFoundError) as e:
            raise UsageError(f"{self.folder / 'issued.json'} is damaged", str(e), "restore it from your backup") from e

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


def common_name(certificate: bytes) -> str:
    """The name in a certificate, PEM.

    Raises:
        UsageError: it is none.
        MissingExtraError: the package cryptography is not installed.
    """
    x509 = _X509()
    try:
        return str(next(attribute.value for attribute in x509.load(certificate).subject))
    except (ValueError, StopIteration) as e:
        raise UsageError("the certificate is damaged", str(e), "enrol again: tody enroll") from e


def _client(text: str) -> str:
    try:
        return name(text)
    except ValueError as e:
        raise UsageError(f"a device cannot be called {text!r}", str(e), "door, or door-2") from e


class _X509:
    """What of the package cryptography is needed, imported late."""

    def __init__(self) -> None:
        try:
            from cryptography import x509
            from cryptography.hazmat.primitives import hashes, serialization
            from cryptography.hazmat.primitives.asymmetric import ec
        except ImportError as e:
            raise MissingExtraError(e.name or "cryptography", "keys") from e
        self._x509, self._serialization, self._ec, self._hash = x509, serialization, ec, hashes.SHA256()

    def new_key(self) -> Any:
        return self._ec.generate_private_key(self._ec.SECP256R1())

    def private(self, key: Any, passphrase: bytes = b"") -> bytes:
        s = self._serialization
        encryption = s.BestAvailableEncryption(passphrase) if passphrase else s.NoEncryption()
        return bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, encryption))

    def open_key(self, pem: bytes, passphrase: bytes) -> Any:
        try:
            return self._serialization.load_pem_private_key(pem, passphrase or None)
        except (ValueError, TypeError) as e:
            why = "the passphrase is wrong, or the file is damaged"
            raise TrustError("the key of the certificate authority does not open", why, "", "passphrase") from e

    def pem(self, thing: Any) -> bytes:
        return bytes(thing.public_bytes(self._serialization.Encoding.PEM))

    def load(self, pem: bytes) -> Any:
        return self._x509.load_pem_x509_certificate(pem)

    def name(self, common: str) -> Any:
        return self._x509.Name([self._x509.NameAttribute(self._x509.NameOID.COMMON_NAME, common)])

    def host(self, text: str) -> Any:
        """A host's name or address as a certificate has it."""
        try:
            return self._x509.IPAddress(ipaddress.ip_address(text))
        except ValueError:
            labels = text.rstrip(".").split(".")
            if len(text) > 64 or not all(label.replace("-", "").isalnum() and label.isascii() for label in labels):
                raise UsageError(f"{text!r} is no host", "", "a name such as broker.local, or an address") from None
            return self._x509.DNSName(text)

    def requested(self, request: bytes, client: str) -> Any:
        """The key of a certificate request, if that is sound."""
        wrong = None
        try:
            parsed = self._x509.load_pem_x509_csr(request)
            key = parsed.public_key()
            if not parsed.is_signature_valid or len(request) > MOST_REQUEST:
                wrong = "it is not signed with its own key, or is too long"
            elif parsed.subject != self.name(client):
                wrong = f"it is of {parsed.subject.rfc4514_string()[:80] or 'nobody'}, not of {client}"
            elif not isinstance(key, self._ec.EllipticCurvePublicKey) or not isinstance(key.curve, self._ec.SECP256R1):
                wrong = "its key is not of the curve P-256"
        except Exception as e:  # cryptography raises many kinds for what is not sound
            raise TrustError(
                "the certificate request is not sound", str(e)[:200], "make it with tody enroll", "malformed"
            ) from e
        if wrong:
            raise TrustError(
                "the certificate request cannot be signed", wrong, "make it with tody enroll --request", "malformed"
            )
        return key

    def authority(self, key: Any, subject: Any, start: datetime, until: datetime) -> Any:
        x509 = self._x509
        builder = self._builder(subject, subject, key.public_key(), (start, until))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return builder.add_extension(self._usage("key_cert_sign", "crl_sign"), critical=True).sign(key, self._hash)

    def leaf(self, common: str, key: Any, valid: Any, hosts: Sequence[Any], authority: Any, signer: Any) -> Any:
        """A client's certificate; with hosts: a server's. Neither can be used as the other."""
        x509 = self._x509
        use = x509.ExtendedKeyUsageOID.SERVER_AUTH if hosts else x509.ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(self.name(common), authority.subject, key, valid)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(self._usage("digital_signature"), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
        builder = builder.add_extension(identifier, critical=False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        return builder.sign(signer, self._hash)

    def revocations(self, void: Sequence[tuple[int, int]], authority: Any, signer: Any, now: datetime) -> Any:
        """The list of void certificates. It stands as long as the authority: a list that ran out would lock out everybody."""
        builder = self._x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
        builder = builder.last_update(START).next_update(authority.not_valid_after_utc)
        for serial, at in void:
            entry = self._x509.RevokedCertificateBuilder().serial_number(serial)
            builder = builder.add_revoked_certificate(entry.revocation_date(datetime.fromtimestamp(at, timezone.utc)).build())
        identifier = self._x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
        number = self._x509.CRLNumber(int(now.timestamp()))
        return builder.add_extension(identifier, False).add_extension(number, False).sign(signer, self._hash)

    def _builder(self, subject: Any, issuer: Any, key: Any, valid: tuple[datetime, datetime]) -> Any:
        builder = self._x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
        builder = builder.serial_number(self._x509.random_serial_number())
        builder = builder.not_valid_before(valid[0]).not_valid_after(valid[1])
        return builder.add_extension(self._x509.SubjectKeyIdentifier.from_public_key(key), critical=False)

    def _usage(self, *uses: str) -> Any:
        """Key usage with these and no others."""
        known = """digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign
            encipher_only decipher_only""".split()
        return self._x509.KeyUsage(**{use: use in uses for use in known})
