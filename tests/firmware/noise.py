"""A line that loses, repeats and flips bytes, for tests: around the pipe of a device's line."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from typing import Any

from tody.errors import DeviceError


class Noise:
    """Damages bytes in both directions.

    Args:
        pipe: the sound one.
        seed: of the damage.
        drop, repeat, flip: probabilities for each byte.
        cut: bytes after which the line breaks, for good.
    """

    def __init__(
        self, pipe: Any, seed: int, drop: float = 0.0, repeat: float = 0.0, flip: float = 0.0, cut: int | None = None
    ) -> None:
        self.pipe, self.dice = pipe, random.Random(seed)
        self.drop, self.repeat, self.flip = drop, repeat, flip
        self.left = cut

    def damaged(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            roll = self.dice.random()
            if roll < self.drop:
                continue
            if roll < self.drop + self.repeat:
                out.append(byte)
            elif roll < self.drop + self.repeat + self.flip:
                byte ^= 1 << self.dice.randrange(8)
            out.append(byte)
        return bytes(out)

    def read(self, timeout: float) -> bytes:
        return self.damaged(bytes(self.pipe.read(timeout)))

    def write(self, data: bytes) -> None:
        if self.left is not None:
            if self.left <= len(data):
                self.pipe.write(data[: self.left])
                raise OSError("unplugged")
            self.left -= len(data)
        self.pipe.write(self.damaged(data))

    def close(self) -> None:
        self.pipe.close()


def disturb(device: Any, seed: int, **how: Any) -> None:
    """Put noise on the line of a device that is connected."""
    device.line._pipe = Noise(device.line._pipe, seed, **how)


def tries_until(device: Any, path: str, seconds: float) -> Any:
    """The report of flashing over a bad line, or the clear error that it ended with."""
    import time

    begin = time.monotonic()
    try:
        return device.flash(path)
    except DeviceError as e:
        return e
    finally:
        assert time.monotonic() - begin < seconds
