"""Connect over a link that may lose packets: further attempts begin beside the first, and whichever stands first is taken.

TCP sends a lost SYN again after a second, then after two and four; a lost part of a TLS handshake after 200 ms, 400 ms, 800 ms.
Another attempt costs less than waiting for them ("Happy Eyeballs", RFC 8305, which tries all addresses of a host as well).
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
import sys
import time
from contextlib import suppress
from typing import Any

MOST = 8  # attempts
PENDING = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN)
LINEAR_TIMEOUTS = 16  # TCP_THIN_LINEAR_TIMEOUTS of Linux
Place = tuple[int, int, int, str, tuple[Any, ...]]  # as getaddrinfo gives it


def dial(host: str, port: int, context: ssl.SSLContext | None, stagger: float, timeout: float) -> socket.socket:
    """A connection; with a context an encrypted one.

    Args:
        stagger: seconds until the next attempt begins.
        timeout: seconds for all of them.

    Raises:
        OSError: nobody listens or answers; as ssl.SSLError: the other side is not who it should be.
    """
    places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    begun, most, next_at = 0, max(MOST, len(places)), time.monotonic()
    end = next_at + timeout
    fault: OSError = TimeoutError(errno.ETIMEDOUT, "nobody answers")
    with selectors.DefaultSelector() as waiting:
        try:
            while (now := time.monotonic()) < end and (begun < most or waiting.get_map()):
                try:
                    if begun < most and now >= next_at:
                        begun, next_at = begun + 1, now + stagger
                        _Attempt(waiting, places[(begun - 1) % len(places)], host, context)
                    for key, _ in waiting.select(max(0.0, min(end, next_at if begun < most else end) - now)):
                        if key.data.proceed():
                            return _tuned(key.data.sock)
                except OSError as e:  # others may still stand; the host's other addresses are tried at once
                    fault, most, next_at = e, len(places), now
        finally:
            for key in list((waiting.get_map() or {}).values()):
                key.data.give_up()
    raise fault


class _Attempt:
    """A connection on its way. `proceed` when the selector says so; its data there is the attempt itself.

    Raises:
        OSError: by `proceed`, too; the attempt is over.
    """

    def __init__(
        self, waiting: selectors.BaseSelector, place: tuple[Any, ...], host: str, context: ssl.SSLContext | None
    ) -> None:
        self._waiting, self._host, self._context = waiting, host, context
        self.sock = socket.socket(place[0], place[1])
        self.sock.setblocking(False)
        code = self.sock.connect_ex(place[4])
        if code not in PENDING:
            self.sock.close()
            raise OSError(code, os.strerror(code))
        waiting.register(self.sock.fileno(), selectors.EVENT_WRITE, self)

    def proceed(self) -> bool:
        """Go on; returns whether the connection stands."""
        try:
            if code := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code))
            if self._context and not isinstance(self.sock, ssl.SSLSocket):
                self.sock = self._context.wrap_socket(self.sock, server_hostname=self._host, do_handshake_on_connect=False)
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.do_handshake()
        except ssl.SSLWantReadError:
            self._waiting.modify(self.sock.fileno(), selectors.EVENT_READ, self)
            return False
        except ssl.SSLWantWriteError:
            self._waiting.modify(self.sock.fileno(), selectors.EVENT_WRITE, self)
            return False
        except OSError:
            self.give_up()
            raise
        self._waiting.unregister(self.sock.fileno())
        return True

    def give_up(self) -> None:
        self._waiting.unregister(self.sock.fileno())
        self.sock.close()


def _tuned(sock: socket.socket) -> socket.socket:
    """Small messages at once: Nagle's algorithm and late acknowledgements would cost 44 ms a round trip.

    And what is lost is sent again after equal pauses, where the system can do that.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, LINEAR_TIMEOUTS, 1)
    return sock
