"""Why a device does not do what it is asked: the numbers of firmware/link/link.h."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

UNKNOWN = 1
INVALID = 3
NO_ENTRY = 5
BAD_STATE = 6
TOO_LARGE = 7
UNSUPPORTED = 8
CORRUPT = 9
MODEL = 256  # and a tody_status without its sign: the runtime does not open the model


class Refusal(Exception):
    """A server does not do it. Its argument is the number."""


def u32(value: object) -> int:
    """A number from outside that may be kept: no float, no bool, of 32 bits."""
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise Refusal(INVALID)
    return value
