"""Where a broker is, and the certificates to speak to it with."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import DeviceError, UsageError

PORTS = {"mqtt": 1883, "mqtts": 8883}
AUTHORITY, CERTIFICATE, KEY = "ca.crt", "tody.crt", "tody.key"  # files of an identity


@dataclass(frozen=True)
class Address:
    """Where a broker is and how to speak to it.

    Attributes:
        tls: files of the authority's certificate, the own certificate and its key; None: without TLS.
    """

    host: str
    port: int
    tls: tuple[Path, Path, Path] | None = None

    @staticmethod
    def parse(url: str, identity: Path | None = None) -> Address:
        """`mqtt://host:1883` (without TLS: for this machine only) or `mqtts://host:8883` with the files of a folder.

        Raises:
            UsageError: the URL is none, a file is missing, or a broker beyond this machine would be spoken to in the clear.
        """
        scheme, host, port = Address.check(url)
        if scheme == "mqtt":
            return Address(host, port)
        folder = identity or Path()
        files = (folder / AUTHORITY, folder / CERTIFICATE, folder / KEY)
        if missing := [file.name for file in files if not file.is_file()]:
            raise UsageError(f"{folder} lacks {', '.join(missing)}", "the broker wants a certificate", "put them there")
        return Address(host, port, files)

    @staticmethod
    def check(url: str) -> tuple[str, str, int]:
        """Scheme, host and port of a broker's URL.

        Raises:
            UsageError: as `parse`, but for the files.
        """
        try:
            parts = urlsplit(url if "//" in url else f"mqtts://{url}")
            host, port = parts.hostname, parts.port or PORTS.get(parts.scheme, 0)
        except ValueError as e:
            raise UsageError(f"{url!r} has no sound host or port", str(e), "mqtts://HOST:8883") from e
        if parts.scheme not in PORTS or not host:
            raise UsageError(
                f"{url!r} is not the address of a broker",
                "it has no host, or another scheme",
                "mqtts://HOST, or mqtt://localhost",
            )
        if parts.scheme == "mqtt" and not is_local(host):
            why = "anybody on the way could read and change what is said"
            raise UsageError(f"{url} is not encrypted", why, "use mqtts:// and a broker with TLS")
        return parts.scheme, host, port

    def context(self) -> ssl.SSLContext | None:
        """What a connection is encrypted with: the broker must have a certificate of the authority for this very host.

        Raises:
            DeviceError: the files are damaged, or do not belong together.
        """
        if not self.tls:
            return None
        authority, certificate, key = self.tls
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(authority)
            context.load_cert_chain(certificate, key)
        except (OSError, ValueError) as e:  # ssl's own errors are among them
            what = f"the certificate in {certificate.parent} cannot be used"
            raise DeviceError(what, str(e), "are its files of one enrolment? enrol again: tody enroll") from e
        return context


def is_local(host: str) -> bool:
    """Whether a host is this machine for certain, whatever a name server says."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
