"""What a PyTorch module makes of arrays, and the state in which each test of one begins."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="the extra [train] is not installed: pip install torch")


@pytest.fixture(autouse=True)
def quiet() -> None:
    torch.set_num_threads(1)  # two threads that wait for one core take many times as long
    torch.manual_seed(3)


def outputs_of(module: Any, feeds: list[NDArray[Any]]) -> list[NDArray[Any]]:
    with torch.no_grad():
        found = module(*map(torch.from_numpy, feeds))
    return [found.numpy()] if isinstance(found, torch.Tensor) else [y.numpy() for y in found.values()]
