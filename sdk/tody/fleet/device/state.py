"""What a device remembers of its models, and the only ways in which that may change. No input or output."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..documents import sha256

STARTS = 3  # of a model on trial, before it counts as one that crashes
KEPT_FAILURES = 16


@dataclass(frozen=True)
class Floors:
    """Numbers that never fall: what is below them is refused, whoever signed it.

    Attributes:
        time: the newest signed time seen, in seconds since 1970; a clock that is behind it is not believed.
        generation: of the group's desired state.
        security: of a release; a release that repairs a danger raises it.
        root, timestamp, snapshot: versions of the TUF metadata.
    """

    time: int = 0
    generation: int = 0
    security: int = 0
    root: int = 0
    timestamp: int = 0
    snapshot: int = 0

    def raised(self, **to: int) -> Floors:
        """These floors with some of them higher; lower numbers change nothing."""
        return replace(self, **{name: max(value, getattr(self, name)) for name, value in to.items()})


@dataclass(frozen=True)
class Failure:
    """Why a model was given up, and in which generation: a later one that names it again is a new attempt."""

    code: str
    generation: int


@dataclass(frozen=True)
class State:
    """The device's memory. Models are named by the SHA-256 of their files, in hexadecimal.

    Attributes:
        sequence: counts the writes; of two copies the newer one is right.
        active: the model that is trusted to work.
        previous: the one before it.
        trial: a model that runs, but is not yet trusted; `starts` counts how often it was started, `security` is its release's.
        failed: the models that were given up, newest last.
    """

    sequence: int = 0
    floors: Floors = field(default_factory=Floors)
    active: str | None = None
    previous: str | None = None
    trial: str | None = None
    starts: int = 0
    security: int = 0
    failed: dict[str, Failure] = field(default_factory=dict)

    @property
    def running(self) -> str | None:
        """The model that a detector should use now."""
        return self.trial or self.active

    @property
    def wanted(self) -> set[str]:
        """The models whose files must be kept."""
        return {sha for sha in (self.active, self.previous, self.trial) if sha}

    def has_failed(self, model: str, generation: int) -> bool:
        """Whether this model was given up in this generation or a later one."""
        failure = self.failed.get(model)
        return failure is not None and failure.generation >= generation


def begin_trial(state: State, model: str, security: int) -> State:
    """The model runs from now on, and has everything to prove."""
    return replace(state, trial=model, starts=0, security=security)


def count_start(state: State) -> State:
    """A process is about to load the model that is on trial. Written before it does, so that a crash counts."""
    return replace(state, starts=state.starts + 1)


def confirm(state: State) -> State:
    """The model on trial has proved itself; what its release calls insecure is refused from now on."""
    trusted = replace(state, active=state.trial, previous=state.active, floors=state.floors.raised(security=state.security))
    return drop_trial(trusted)


def give_up(state: State, model: str, code: str) -> State:
    """Do not try this model again in this generation; if it is on trial, the active model runs again."""
    failed = {sha: failure for sha, failure in state.failed.items() if sha != model}
    failed[model] = Failure(code, state.floors.generation)
    left = replace(state, failed=dict(list(failed.items())[-KEPT_FAILURES:]))
    return drop_trial(left) if state.trial == model else left


def drop_trial(state: State) -> State:
    """The active model runs again, and nothing is held against the one on trial."""
    return replace(state, trial=None, starts=0, security=0)


def without(state: State, lost: set[str]) -> State:
    """What is left when the files of these models are gone or damaged."""
    keep = [None if sha in lost else sha for sha in (state.active, state.previous)]
    active, previous = (keep[0], keep[1]) if keep[0] else (keep[1], None)
    left = replace(state, active=active, previous=previous)
    return drop_trial(left) if state.trial in lost else left


def encode(state: State) -> bytes:
    """The state as a file: one line of JSON, and its SHA-256 in front of it."""
    text = json.dumps(asdict(state), sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text + b"\n"


def decode(content: bytes) -> State | None:
    """The state in a file, or None if the file is damaged."""
    checksum, _, text = content.partition(b"\n")
    text = text.removesuffix(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != checksum:
        return None
    try:
        return _parse(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _parse(facts: dict[str, Any]) -> State:
    floors = Floors(**{name: count(value) for name, value in facts["floors"].items()})
    failed = {sha256(sha): Failure(str(f["code"]), count(f["generation"])) for sha, f in facts["failed"].items()}
    active, previous, trial = (None if facts[key] is None else sha256(facts[key]) for key in ("active", "previous", "trial"))
    starts, security = count(facts["starts"]), count(facts["security"])
    return State(count(facts["sequence"]), floors, active, previous, trial, starts, security, failed)


def count(value: Any) -> int:
    """A number that may be kept: the state is damaged where another one stands."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value
