"""A device on a line: the model that runs there on arrays, its self-test, flashing."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from . import golden
from .address import parse
from .client import Client
from .commands import Commands, understood
from .transport import connect

if TYPE_CHECKING:
    from ..run.model import Inputs, Model, Outputs
    from .flash import Report, Step


class Device(Commands):
    """A device that speaks SMP. Use it as a context manager, or close it.

    Args:
        address: "serial:auto", "serial:/dev/ttyACM0", "socket://host:port", "smp+udp://host" or "fake://board".
        on_text: is given each line of text that the device prints.

    Raises:
        UsageError: the address is none.
        DeviceError: nothing is there, it is busy, or does not answer.
        MissingExtraError: pyserial is not installed.
    """

    def __init__(self, address: str = "serial:auto", on_text: Callable[[str], None] | None = None) -> None:
        where = parse(address)
        self.line = connect(where)
        super().__init__(where, Client(self.line, on_text))

    def run(self, model: Model, inputs: Inputs) -> Outputs:
        """Run the model that runs there on arrays.

        Args:
            model: the same model on this machine, for names, shapes and dtypes.
            inputs: as `Model.__call__` takes them.

        Returns:
            what `Model.__call__` returns.
        """
        model.fill(inputs)
        for i in range(len(model.inputs)):
            self.write_input(i, model.input(i).tobytes())
        self.run_once()
        outputs = {port.name: self._output(i, model.output(i)) for i, port in enumerate(model.outputs)}
        return outputs if len(outputs) > 1 else outputs[model.outputs[0].name]

    def _output(self, index: int, like: NDArray[Any]) -> NDArray[Any]:
        return np.frombuffer(self.read_output(index, like.nbytes), like.dtype).reshape(like.shape)

    @understood()
    def self_test(self, data: bytes, name: str = "the model") -> float | None:
        """Run the golden inputs of the model that runs there.

        Args:
            data: its plain file.

        Returns:
            the largest relative error; None: the file carries no golden outputs.

        Raises:
            AccuracyError: an output differs by more than the file allows.
        """
        plan = golden.plan(data)
        if plan is None:
            return None
        for fill in plan.fills:
            self.make_input(fill)
        self.run_once()
        return max([0.0, *(golden.error(c, self.compare(c), name) for c in plan.compares)])

    def logs(self, seconds: float = math.inf) -> Iterator[str]:
        """Lines of text that the device prints, for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            event = self.line.receive(min(left, 1.0))
            if isinstance(event, str):
                yield event

    def flash(self, path: str, **options: Any) -> Report:
        """Bring a model into a slot, test it there and let it run: `tody.flash.flash.steps` lists the options."""
        from .flash import flash

        return flash(self, path, **options)

    def flashing(self, path: str, **options: Any) -> Iterator[Step]:
        """The same by iteration: how far it is, every time that something has happened."""
        from .flash import steps

        return steps(self, path, **options)

    def close(self) -> None:
        self.line.close()

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def check_same(device: Device, model: Model, sha256: bytes, name: str) -> None:
    """Raise UsageError unless the model that runs on a device is this file."""
    running = device.running()
    if running is None:
        raise UsageError(
            f"no model runs on {device.address}", "none was flashed, or none could be opened", f"tody flash {name}"
        )
    if running.sha256 != sha256:
        raise UsageError(
            f"another model than {model.name} runs on {device.address}", "its SHA-256 differs", f"tody flash {name}"
        )
