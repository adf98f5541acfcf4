"""Why there is no connection to a broker: found out by trying once, for a log that somebody reads far from the device."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket

from ...errors import TodyError
from ..address import Address

PATIENCE = 5.0  # seconds for an answer
ALERT = 1.0  # seconds in which a broker says that it does not want the certificate


def trouble(address: Address) -> str:
    """What went wrong; empty if nothing did, as far as the first words go."""
    try:
        with socket.create_connection((address.host, address.port), PATIENCE) as plain:
            if context := address.context():
                with context.wrap_socket(plain, server_hostname=address.host) as secure:
                    return _alert(secure)
    except (OSError, TodyError) as e:
        return str(e).replace("\n ", ";") or type(e).__name__
    return ""


def _alert(connection: socket.socket) -> str:
    """With TLS 1.3 a refusal of the certificate comes after the handshake; a broker that is content waits for our words.

    Raises:
        OSError: it refuses.
    """
    connection.settimeout(ALERT)
    try:
        return "" if connection.recv(1) else "the broker hangs up"
    except TimeoutError:
        return ""
