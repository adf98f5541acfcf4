"""Keys, certificates, requests and lists of void certificates, by the package cryptography."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from ...errors import MissingExtraError, TrustError, UsageError

MOST_REQUEST = 16 << 10  # bytes
# Certificates are valid from here on: a board without a battery may believe that it is years ago, and has to connect still.
START = datetime(2020, 1, 1, tzinfo=timezone.utc)


class X509:
    """What of the package cryptography is needed, imported late.

    Raises:
        MissingExtraError: it is not installed.
    """

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
                raise UsageError(
                    f"{text!r} is no host", "it cannot stand in a certificate", "a name such as broker.local, or an address"
                ) from None
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
