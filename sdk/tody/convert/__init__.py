"""From a model of another format to a `.tody` file. `tody.convert(...)` is the function `tody.convert.convert`."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .check import CheckReport, check
from .convert import convert
from .report import ConvertReport

__all__ = ["CheckReport", "ConvertReport", "check", "convert"]


class _Callable(ModuleType):
    """A package that is also the verb after which it is named."""

    def __call__(self, *args: Any, **kwargs: Any) -> ConvertReport:
        return convert(*args, **kwargs)


_Callable.__call__.__doc__ = convert.__doc__
sys.modules[__name__].__class__ = _Callable
