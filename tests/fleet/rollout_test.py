"""Rollouts that halt themselves: hundreds of devices, the laptop switched off."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random

import pytest

from tody.fleet.documents import Desired, Wave
from tody.fleet.reports import result, result_code
from tody.fleet.rollout import asked_of, own_wave, plan_waves, position, turn, watched_by

MODEL, OTHER = "a" * 64, "b" * 64
DEVICES = [f"device-{i}" for i in range(500)]


def roll_out(bad_share: float, seed: int, devices: list[str] = DEVICES, at_once: int = 5) -> tuple[int, int]:
    """How many devices got the model, and how many of them a bad one, when a few at a time look whether it is their turn."""
    desired = Desired("garden", 1, MODEL, waves=plan_waves(MODEL, devices))
    dice, results = random.Random(seed), {}
    bad = set(dice.sample(devices, round(bad_share * len(devices))))
    waiting = list(devices)
    for _ in range(6):
        dice.shuffle(waiting)
        for i in range(0, len(waiting), at_once):
            begun = [device for device in waiting[i : i + at_once] if turn(desired, device, results) == "now"]
            results.update({device: "failed-health" if device in bad else "ok" for device in begun})
        waiting = [device for device in devices if device not in results]
    return len(results), sum(code != "ok" for code in results.values())


@pytest.mark.parametrize(("bad_share", "most_exposed"), [(0.0, 0.0), (0.1, 0.06), (0.3, 0.06), (1.0, 0.02)])
@pytest.mark.parametrize("seed", range(5))
def test_a_bad_model_is_stopped_by_those_that_got_it_first(bad_share: float, most_exposed: float, seed: int) -> None:
    installed, exposed = roll_out(bad_share, seed)
    assert exposed <= most_exposed * len(DEVICES)
    if bad_share == 0:
        assert installed == len(DEVICES)


def test_a_small_fleet_has_a_first_device() -> None:
    for count in range(1, 8):
        devices = [f"pi-{i}" for i in range(count)]
        assert roll_out(1.0, 0, devices, at_once=1)[1] <= 2
        assert roll_out(0.0, 0, devices)[0] == count
        assert plan_waves(MODEL, devices)[0].watch


def test_everybody_is_in_one_wave_and_watches_the_ones_before() -> None:
    desired = Desired("garden", 1, MODEL, waves=plan_waves(MODEL, DEVICES))
    for device in [*DEVICES, "newcomer"]:
        wave = own_wave(desired, device)
        assert device == "newcomer" or device in desired.waves[wave].watch
        assert device not in watched_by(desired, device)
    counts = [len(wave.watch) for wave in desired.waves]
    assert sum(counts) == 500 and counts == sorted(counts)


def test_who_waits_and_who_does_not() -> None:
    waves = (Wave(0.0, ("first",)), Wave(1.0, ("second",)))
    desired = Desired("garden", 1, MODEL, waves=waves, need=1.0, halt_failures=1, halt_share=0.0)
    assert turn(desired, "third", {}) == turn(desired, "third", {"first": "trial"}) == "later"
    assert turn(desired, "third", {"first": "ok"}) == "now"
    assert turn(desired, "third", {"first": "failed-test"}) == turn(desired, "third", {"second": "failed-crash"}) == "halted"
    assert turn(desired, "third", {"first": "refused-space", "stranger": "failed-test"}) == "later"
    paused = Desired("garden", 1, MODEL, waves=waves, paused=True, pins={"third": OTHER})
    assert turn(paused, "third", {"first": "ok"}) == "paused"


def test_pins_and_splits() -> None:
    desired = Desired("garden", 1, MODEL, split=(OTHER, 0.3), pins={"device-7": "c" * 64})
    asked = [asked_of(desired, device) for device in DEVICES]
    assert asked[7] == "c" * 64 and 110 < asked.count(OTHER) < 190 and asked.count(MODEL) + asked.count(OTHER) == 499
    assert turn(Desired("garden", 1, MODEL, pins={"x": OTHER}, waves=(Wave(0.0, ("y",)), Wave(1.0))), "x", {}) == "now"


def test_devices_that_run_another_model_are_not_waited_for() -> None:
    waves = plan_waves(MODEL, DEVICES)
    desired = Desired("garden", 1, MODEL, split=(OTHER, 0.5), pins={waves[0].watch[0]: "c" * 64}, waves=waves)
    for model in (MODEL, OTHER):
        same = {device for device in DEVICES if asked_of(desired, device) == model}
        last = max(same, key=lambda device: position(MODEL, device))
        assert set(watched_by(desired, last)) == same - {last}
        assert turn(desired, last, dict.fromkeys(same, "ok")) == "now"
        assert turn(desired, last, dict.fromkeys(set(DEVICES) - same, "failed-test")) == "later"


def test_results_of_an_earlier_rollout_do_not_count() -> None:
    assert result_code(result("failed-test", 5, 3), begun=4) is None
    assert result_code(result("failed-test", 5, 4), begun=4) == "failed-test"


def test_positions_are_spread_evenly() -> None:
    places = sorted(position(MODEL, device) for device in DEVICES)
    assert all(abs(place - (i + 0.5) / 500) < 0.08 for i, place in enumerate(places))


@pytest.mark.parametrize("shares", [(), (0.5,), (0.5, 0.2, 1.0), (0.0, 1.0), (1.0, 1.0)])
def test_shares_that_do_not_grow_to_one(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError):
        plan_waves(MODEL, DEVICES, shares)
