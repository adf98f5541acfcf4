"""Every error of tody: three lines for the reader, an exit code for scripts."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations


class TodyError(Exception):
    """What happened, why, and what to try.

    Args:
        what: one sentence.
        why: the cause, if known.
        hint: what to try next.
    """

    exit_code = 1
    kind = "error"

    def __init__(self, what: str, why: str = "", hint: str = "") -> None:
        self.what, self.why, self.hint = what, why, hint
        super().__init__("\n".join([what] + [f"  {k}: {v}" for k, v in (("why", why), ("try", hint)) if v]))

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {"error": self.kind, "what": self.what, "why": self.why, "try": self.hint, "exit_code": self.exit_code}


class UsageError(TodyError, ValueError):
    """A wrong argument: shape, option, name, file that is not there."""

    exit_code, kind = 2, "usage"


class ModelError(TodyError, ValueError):
    """A model file that cannot be used: damaged, of another version, or of another kind."""

    exit_code, kind = 2, "model"


class AccuracyError(TodyError):
    """A converted or compressed model differs from its source by more than was allowed."""

    exit_code, kind = 3, "accuracy"


class RolloutError(TodyError):
    """Devices gave a model up that was pushed to them: more of them than the rollout allows."""

    exit_code, kind = 3, "rollout"


class UnsupportedError(TodyError):
    """An operator, dtype or attribute that tody cannot do. `nodes` lists every one of them.

    Each entry has the keys name, operator, domain, opset, why, hint.
    """

    exit_code, kind = 4, "unsupported"

    def __init__(self, what: str, why: str = "", hint: str = "", nodes: list[dict[str, object]] | None = None) -> None:
        super().__init__(what, why, hint)
        self.nodes = nodes or []

    def as_dict(self) -> dict[str, object]:
        return {**super().as_dict(), "nodes": self.nodes}


class MemoryLimitError(TodyError, MemoryError):
    """A model that does not fit."""

    exit_code, kind = 5, "memory"


class DeviceError(TodyError, OSError):
    """A device that is not there or does not answer."""

    exit_code, kind = 6, "device"


class TrustError(TodyError):
    """A signature, hash or version that does not match.

    Args:
        code: one word for scripts: wrong-hash, bad-signature, rollback, expired, missing, malformed, endless, passphrase.
    """

    exit_code, kind = 7, "trust"

    def __init__(self, what: str, why: str = "", hint: str = "", code: str = "wrong-hash") -> None:
        super().__init__(what, why, hint)
        self.code = code

    def as_dict(self) -> dict[str, object]:
        return {**super().as_dict(), "code": self.code}


class CameraError(TodyError, OSError):
    """A camera, stream, clip or picture that cannot be opened or ended early."""

    exit_code, kind = 9, "camera"


class MissingExtraError(TodyError, ImportError):
    """An optional dependency that is not installed."""

    exit_code, kind = 2, "missing-extra"

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the Python package {package}", "it belongs to an optional part of tody", f"pip install 'tody[{extra}]'"
        )
