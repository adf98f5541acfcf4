"""How the desired state of a group changes: each function makes the next generation from the one before. No input or output."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ...errors import UsageError
from ..documents import Desired, Rule, Wave
from ..rollout import SHARES, asked_of, plan_waves

KEPT_HISTORY = 4  # models to go back to
FEW = 3  # canaries: with fewer, the first failure halts
AT_ONCE = (Wave(1.0),)  # nobody waits for anybody


@dataclass(frozen=True)
class Terms:
    """Of a rollout.

    Attributes:
        shares: of the devices that have it after each wave, growing to 1.
        health: must hold at the end of the window of so many seconds; None: as it was.
    """

    shares: Sequence[float] = SHARES
    health: tuple[Rule, ...] | None = None
    window_s: float | None = None


def roll_out(before: Desired | None, group: str, model: str, devices: Iterable[str], terms: Terms) -> Desired:
    """Everybody gets the model, wave by wave. Pins stay; a split or a shadow ends. Also a new attempt with the same model."""
    if before is None:
        before = Desired(group, 0, model)
    older = before.history if before.model == model else (before.model, *before.history)
    history = tuple(sha for sha in older if sha != model)[:KEPT_HISTORY]
    return _begin(replace(before, model=model, history=history, split=None, shadow=None), model, devices, terms)


def split(before: Desired, model: str, share: float, devices: Iterable[str], terms: Terms) -> Desired:
    """A share of the devices gets another model, wave by wave."""
    return _begin(replace(before, split=(model, share)), model, devices, terms)


def unsplit(before: Desired) -> Desired:
    """Everybody runs the same model again; those that have to change know it already, and do so at once."""
    return _next(replace(before, split=None), waves=AT_ONCE)


def shadow(before: Desired, model: str, share: float) -> Desired:
    """The model runs beside the present one on a share of the frames, and is only compared."""
    return _next(replace(before, shadow=(model, share)))


def unshadow(before: Desired) -> Desired:
    return _next(replace(before, shadow=None))


def pause(before: Desired) -> Desired:
    """Nobody begins from now on. Who is on the way finishes."""
    return _next(before, paused=True)


def resume(before: Desired) -> Desired:
    return _next(before, paused=False)


def roll_back(before: Desired) -> Desired:
    """Everybody returns to the model before, at once; a split or a shadow ends.

    Raises:
        UsageError: there is none.
    """
    if not before.history:
        why = "nothing is known of what it ran before"
        raise UsageError(f"the group {before.group} has no model to go back to", why, "tody push the model that it shall run")
    model, *older = before.history
    going = replace(before, model=model, history=tuple(older), split=None, shadow=None, paused=False)
    return _next(going, begun=before.generation + 1, waves=AT_ONCE)


def pin(before: Desired, device: str, model: str) -> Desired:
    """One device runs this model, at once, whatever is rolled out."""
    return _next(before, pins={**before.pins, device: model})


def unpin(before: Desired, device: str) -> Desired:
    """A device runs what everybody does.

    Raises:
        UsageError: it is not pinned.
    """
    if device not in before.pins:
        why = f"pinned are {', '.join(sorted(before.pins)) or 'none'}"
        raise UsageError(f"{device} is not pinned in the group {before.group}", why, "")
    return _next(before, pins={other: model for other, model in before.pins.items() if other != device})


def named(desired: Desired | None) -> set[str]:
    """The models that a desired state speaks of."""
    if desired is None:
        return set()
    parts = [part[0] for part in (desired.split, desired.shadow) if part]
    return {desired.model, *desired.history, *desired.pins.values(), *parts}


def _next(before: Desired, **changes: object) -> Desired:
    return replace(before, generation=before.generation + 1, **changes)  # type: ignore[arg-type]


def _begin(asked: Desired, model: str, devices: Iterable[str], terms: Terms) -> Desired:
    """A new rollout of a model to those of whom it is asked now. The places are those of the group's own model."""
    takers = [device for device in devices if asked_of(asked, device) == model]
    waves = plan_waves(asked.model, takers, terms.shares)
    return _next(
        asked,
        begun=asked.generation + 1,
        waves=waves,
        halt_failures=1 if len(waves[0].watch) < FEW else 2,
        health=asked.health if terms.health is None else terms.health,
        window_s=asked.window_s if terms.window_s is None else terms.window_s,
    )
