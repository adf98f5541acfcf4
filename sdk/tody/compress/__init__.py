"""From a float model to a small one that computes in integers. `tody.compress(...)` is `tody.compress.compress`."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .compress import compress
from .report import CompressReport

__all__ = ["CompressReport", "compress"]


class _Callable(ModuleType):
    """A package that is also the verb after which it is named."""

    def __call__(self, *args: Any, **kwargs: Any) -> CompressReport:
        return compress(*args, **kwargs)


_Callable.__call__.__doc__ = compress.__doc__
sys.modules[__name__].__class__ = _Callable
