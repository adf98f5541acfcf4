"""The decision table of a device, walked completely."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from dataclasses import fields
from itertools import product
from pathlib import Path

import pytest

from tody.fleet.device.update import ANY, RULES, VALUES, Facts, decide
from tody.fleet.documents import Desired, Release
from tody.fleet.reports import CODES

PAGE = Path(__file__).resolve().parents[2] / "docs/update.md"
WALK = [Facts(*facts) for facts in product(*VALUES.values())]


def test_every_combination_is_decided_and_every_rule_is_needed() -> None:
    used = set()
    for facts in WALK:
        fits = [i for i, (*row, _) in enumerate(RULES) if all(w in (ANY, f) for w, f in zip(row, facts, strict=True))]
        used.add(fits[0])
        assert decide(facts) == RULES[fits[0]][-1]
    assert used == set(range(len(RULES)))


@pytest.mark.parametrize("facts", WALK[::7], ids=lambda facts: "-".join(facts))
def test_what_must_never_happen(facts: Facts) -> None:
    action = decide(facts)
    if facts.allowed != "yes":
        assert action not in ("fetch", "test", "switch", "drop")
    if facts.turn != "now":
        assert action not in ("fetch", "test", "switch")
    if facts.trial != "none":
        assert action not in ("fetch", "test", "switch", "reject", "refuse", "wait")
        assert (action == "go back") == (facts.health == "bad")
    if action == "switch":
        assert (facts.stored, facts.tested) == ("yes", "passed")
    if action == "confirm":
        assert facts.health == "good"


def test_the_documentation_is_the_table() -> None:
    text = PAGE.read_text()
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines() if line.count("|") == 9]
    assert rows[2:] == list(RULES)
    keys = set(re.findall(r"`([a-z_]+)`", text))
    assert {f.name for kind in (Release, Desired) for f in fields(kind)} <= keys


def test_the_page_names_every_code() -> None:
    part = PAGE.read_text().partition("## What a device says about it")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", part, re.M)
    assert sorted(re.findall(r"`([a-z-]+)`", " ".join(rows))) == sorted(CODES)
