"""One device's update cycle: look at the facts, decide, act on the store, until there is nothing to do.

The world (broker, detector, clock) stands behind the protocol `World`, so the agent and the power cut simulator run this code.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .state import STARTS, begin_trial, confirm, count_start, drop_trial, give_up
from .store import Store
from .update import Facts, decide

QUIET = ("run", "wait", "refuse")  # after these there is nothing to do until something changes


@dataclass(frozen=True)
class Wish:
    """What the signed state asks of this device.

    Attributes:
        model: SHA-256 of the model's file; None: nothing is asked.
        generation: of the desired state.
        begun: the generation in which its rollout began: what was given up since then is not tried again. None: this one.
        security: the release's floor.
        allowed, turn: as in `tody.fleet.device.update.Facts`; whether the model failed before the cycle knows by itself.
        keep: other models whose files are still needed.
    """

    model: str | None = None
    generation: int = 0
    security: int = 0
    allowed: str = "yes"
    turn: str = "now"
    begun: int | None = None
    keep: tuple[str, ...] = ()


class World(Protocol):
    """What a cycle needs of the world outside of the store."""

    def wish(self) -> Wish:
        """What is asked now, already proved by its signatures."""

    def fetch(self, model: str, store: Store) -> None:
        """Bring the model into the store; goes on where it was interrupted. Raises TodyError or OSError when it cannot now."""

    def test(self, model: str) -> str:
        """Run the self-test of a stored model: "ok", or the code of the failure."""

    def use(self, model: str | None) -> None:
        """Let the detector use this model from now on."""

    def health(self) -> str:
        """Of the model in use since `use`: "pending", "good", or the code of a failure."""

    def report(self, model: str, code: str) -> None:
        """Tell how far a model came. Must not fail: a report that cannot be sent is no reason to go back."""


class Cycle:
    """The cycle of one device. After a restart, build a new one.

    Attributes:
        action: the last one.
    """

    def __init__(self, store: Store, world: World) -> None:
        """Begin after a start of the process: a model on trial that was started too often counts as one that crashes.

        Raises:
            OSError: the store cannot be written.
        """
        self.store, self.world = store, world
        self.action = "run"
        self._tested: dict[str, str] = {}
        self._health = "pending"
        self._tidied: tuple[str, ...] | None = None  # for whom; a power cut can bring back what was removed
        if store.state.trial is not None:
            self._start_trial()
        world.use(store.state.running)

    def _start_trial(self) -> None:
        state = count_start(self.store.state)
        if state.starts > STARTS:
            self._give_up("failed-crash")
        else:
            self.store.commit(state)

    def step(self) -> str:
        """Decide and act once.

        Returns:
            The action. Those in `QUIET` have changed nothing but that files which nobody needs are removed.

        Raises:
            TodyError, OSError: the action could not be done now; the store is as sound as before, try again later.
        """
        wish = self.world.wish()
        if wish.model is not None and wish.allowed == "yes":
            self.store.raise_floors(generation=wish.generation)
        facts = self._facts(wish)
        self.action = decide(facts)
        if self.action not in QUIET:
            self._tidied = None
            self._act(self.action, wish)
        elif facts.desired == "active" and facts.trial == "none" and self._tidied != wish.keep:
            self.store.tidy(wish.keep)
            self._tidied = wish.keep
        return self.action

    def settle(self) -> str:
        """Step until there is nothing to do; returns the last action."""
        while self.step() not in QUIET:
            pass
        return self.action

    def _facts(self, wish: Wish) -> Facts:
        state, model = self.store.state, wish.model
        desired = "nothing" if model is None else "active" if model == state.active else "other"
        allowed = wish.allowed
        if model is not None and allowed == "yes":
            below = wish.generation < state.floors.generation or wish.security < state.floors.security
            begun = wish.generation if wish.begun is None else wish.begun
            allowed = "rollback" if below else "failed" if state.has_failed(model, begun) else "yes"
        trial = "none" if state.trial is None else "desired" if state.trial == model else "other"
        self._health = "pending" if state.trial is None else self.world.health()
        return Facts(
            desired=desired,
            allowed=allowed,
            turn=wish.turn,
            stored="yes" if desired == "other" and model and self.store.has_model(model) else "no",
            tested={None: "no", "ok": "passed"}.get(self._tested.get(model or ""), "failed"),
            trial=trial,
            health=self._health if self._health in ("pending", "good") else "bad",
        )

    def _act(self, action: str, wish: Wish) -> None:
        model, state = wish.model or "", self.store.state
        if action == "fetch":
            self.world.fetch(model, self.store)
        elif action == "test":
            self.world.report(model, "testing")
            self._tested[model] = self.world.test(model)
        elif action == "reject":
            self._give_up(self._tested.pop(model), model)
        elif action == "switch":
            self.store.commit(count_start(begin_trial(state, model, wish.security)))
            self.world.use(model)
            self.world.report(model, "trial")
        elif action == "confirm":
            self.store.commit(confirm(state))
            self.world.report(state.trial or "", "ok")
        elif action == "go back":
            self._give_up(self._health)
            self.world.use(self.store.state.running)
        elif action == "drop":
            self.store.commit(drop_trial(state))
            self.world.use(self.store.state.running)

    def _give_up(self, code: str, model: str | None = None) -> None:
        """Hold a failure against the model on trial, or against another one."""
        state = self.store.state
        given_up = model or state.trial or ""
        self.store.commit(give_up(state, given_up, code))
        self.world.report(given_up, code)
