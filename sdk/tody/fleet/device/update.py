"""What a device does next, as a table: facts in, one action out. No input or output.

`decide` takes the first row that fits. A test walks all combinations of facts, so the table has no hole.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import NamedTuple


class Facts(NamedTuple):
    """What matters for the decision; `VALUES` lists what each can be.

    Attributes:
        desired: what the group's signed state asks of this device: nothing, the active model, or another.
        allowed: whether it may be followed, or why not: its signatures are too old, it is below a floor, the device lacks what
            the model needs, or the model was given up before in this generation.
        turn: whether it is this device's turn in the rollout.
        stored: whether the desired model is here, whole.
        tested: what the self-test said of it.
        trial: which model is on trial: none, the desired one, or another.
        health: of the model on trial, since it began.
    """

    desired: str
    allowed: str
    turn: str
    stored: str
    tested: str
    trial: str
    health: str


VALUES = {
    "desired": ("nothing", "active", "other"),
    "allowed": ("yes", "expired", "rollback", "unmet", "failed"),
    "turn": ("now", "later", "halted", "paused"),
    "stored": ("no", "yes"),
    "tested": ("no", "passed", "failed"),
    "trial": ("none", "desired", "other"),
    "health": ("pending", "good", "bad"),
}
ANY = "*"
# A model that is on trial already finishes or goes back by its own health, even when the rollout is paused or halted.
RULES = (
    # desired   allowed     turn      stored  tested    trial      health      do
    (ANY,       ANY,        ANY,      ANY,    ANY,      "desired", "bad",     "go back"),
    (ANY,       ANY,        ANY,      ANY,    ANY,      "other",   "bad",     "go back"),
    (ANY,       ANY,        ANY,      ANY,    ANY,      "desired", "good",    "confirm"),
    (ANY,       ANY,        ANY,      ANY,    ANY,      "desired", "pending", "run"),
    ("active",  "yes",      ANY,      ANY,    ANY,      "other",   ANY,       "drop"),
    ("other",   "yes",      ANY,      ANY,    ANY,      "other",   ANY,       "drop"),
    (ANY,       ANY,        ANY,      ANY,    ANY,      "other",   "good",    "confirm"),
    (ANY,       ANY,        ANY,      ANY,    ANY,      "other",   "pending", "run"),
    ("nothing", ANY,        ANY,      ANY,    ANY,      ANY,       ANY,       "run"),
    ("active",  ANY,        ANY,      ANY,    ANY,      ANY,       ANY,       "run"),
    (ANY,       "expired",  ANY,      ANY,    ANY,      ANY,       ANY,       "refuse"),
    (ANY,       "rollback", ANY,      ANY,    ANY,      ANY,       ANY,       "refuse"),
    (ANY,       "unmet",    ANY,      ANY,    ANY,      ANY,       ANY,       "refuse"),
    (ANY,       "failed",   ANY,      ANY,    ANY,      ANY,       ANY,       "run"),
    (ANY,       ANY,        "paused", ANY,    ANY,      ANY,       ANY,       "wait"),
    (ANY,       ANY,        "halted", ANY,    ANY,      ANY,       ANY,       "wait"),
    (ANY,       ANY,        "later",  ANY,    ANY,      ANY,       ANY,       "wait"),
    (ANY,       ANY,        ANY,      "no",   ANY,      ANY,       ANY,       "fetch"),
    (ANY,       ANY,        ANY,      ANY,    "no",     ANY,       ANY,       "test"),
    (ANY,       ANY,        ANY,      ANY,    "failed", ANY,       ANY,       "reject"),
    (ANY,       ANY,        ANY,      ANY,    "passed", ANY,       ANY,       "switch"),
)  # fmt: skip


def decide(facts: Facts) -> str:
    """The action for these facts.

    Returns:
        run (nothing to do), refuse (and say why), wait (for the device's turn), fetch, test, reject (what failed its test),
        switch (begin the trial), confirm, go back (and hold it against the model), drop (end a trial that nobody asks for now).
    """
    for *pattern, action in RULES:
        if all(wanted in (ANY, fact) for wanted, fact in zip(pattern, facts, strict=True)):
            return action
    raise AssertionError(f"no rule for {facts}")
