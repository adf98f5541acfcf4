"""What a fleet looks like from its messages: sound ones, hostile ones, and those that never came."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import datetime
import json
from dataclasses import replace
from typing import Any

import pytest
from fleets import MODEL, OTHER, desired, release

from tody.fleet.reports import Report, presence, result
from tody.fleet.rollout import own_wave, plan_waves
from tody.fleet.topics import Topics
from tody.fleet.view.overview import MOST_BYTES, MOST_EVENTS, MOST_RESULTS, Overview
from tody.fleet.view.standing import standing

TOPICS = Topics("home")
NAMES = [f"cam-{i:03}" for i in range(100)]
NOW = 1_800_000_000.0


def overview(devices: list[str] = NAMES, **facts: Any) -> Overview:
    waves = plan_waves(MODEL, devices, (0.1, 0.5, 1.0))
    return Overview(TOPICS, dict.fromkeys(devices, "garden"), [desired(3, waves=waves, **facts)], [release()])


def say(seen: Overview, device: str, kind: str, payload: bytes | dict[str, Any], *, live: bool = True) -> bool:
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return seen.take(TOPICS.up(device, kind), content, NOW, live=live)


def finish(seen: Overview, device: str, code: str, model: str = MODEL) -> bool:
    return seen.take(TOPICS.result(model, device), result(code, int(NOW), 3), NOW)


def kinds(seen: Overview, about: str | None = None) -> set[str]:
    return {alert.kind for alert in seen.alerts(NOW) if about in (None, alert.about)}


def test_a_device_is_what_it_says() -> None:
    seen = overview()
    assert say(seen, "cam-001", "online", presence(True, int(NOW) - 60), live=False)
    report = Report("cam-001", "garden", int(NOW) - 5, MODEL, 1, "door", asked=MODEL, observed=3, code="ok")
    assert say(seen, "cam-001", "report", report.encode(), live=False)
    assert say(seen, "cam-001", "metrics", {"time": NOW - 2, "fps": 29.5, "latency_p50_ms": 12, "label": "x", "ok": True})
    device = seen.devices["cam-001"]
    assert device.online and device.since == NOW - 60 and device.heard == NOW and device.observed == 3
    assert device.metrics == {"fps": 29.5, "latency_p50_ms": 12.0} and seen.title(device) == "door v1"
    assert kinds(seen, "cam-001") == set()
    assert say(seen, "cam-001", "online", presence(False, int(NOW) - 60))
    assert kinds(seen, "cam-001") == {"offline"}


def test_topics_that_have_not_come_are_named_until_they_have() -> None:
    seen = overview(["one", "two"])
    topics = seen.lacking()
    assert sorted(topics) == sorted(
        [TOPICS.repository("meta/timestamp.json"), *(TOPICS.up(d, "online") for d in ("one", "two"))]
    )
    seen.take(TOPICS.up("one", "online"), presence(True, 1), NOW, live=False)
    assert len(seen.lacking()) == len(set(seen.lacking())) == 1 + 1 + 3
    seen.take(TOPICS.up("one", "online"), b"", NOW, live=False)
    for topic in seen.lacking():
        seen.take(topic, b"", NOW, live=False)
    assert seen.lacking() == [TOPICS.repository("meta/timestamp.json")]
    assert kinds(seen) == {"unread"} and not seen.as_dict(NOW)["complete"]


def test_the_fleet_is_incomplete_when_strangers_speak() -> None:
    seen = overview(["one"])
    say(seen, "one", "online", presence(True, 1))
    assert seen.as_dict(NOW)["complete"]
    say(seen, "two", "online", presence(True, 1))
    say(seen, "two", "report", Report("two", "garden", 1, MODEL).encode())
    assert not seen.as_dict(NOW)["complete"] and "unlisted" in kinds(seen)
    assert seen.devices["two"].group == "garden" and sum(wave.devices for wave in seen.standings()[0].waves) == 2


def test_a_rollout_runs_halts_pauses_and_ends() -> None:
    seen = overview()
    wanted = seen.desired["garden"]
    waves = [[d for d in NAMES if own_wave(wanted, d) == i] for i in range(len(wanted.waves))]
    (now,) = seen.standings()
    assert (now.state, [w.devices for w in now.waves]) == ("running", [len(w) for w in waves]) and now.count("waiting") == 100
    for device in waves[0]:
        finish(seen, device, "testing")
    assert seen.standings()[0].waves[0].trying == len(waves[0])
    assert "0 of" in seen.standings()[0].why
    for device in waves[0]:
        finish(seen, device, "ok")
    for device in waves[1][:2]:
        finish(seen, device, "failed-health")
    (now,) = seen.standings()
    assert now.state == "halted" and "failed-health 2" in now.why and "halted" in kinds(seen, "garden")
    assert kinds(seen, waves[1][0]) >= {"failed"} and now.codes == {"failed-health": 2, "ok": len(waves[0])}
    paused = Overview(TOPICS, dict.fromkeys(NAMES, "garden"), [replace(wanted, paused=True)])
    assert paused.standings()[0].state == "paused"
    for device in NAMES:
        finish(seen, device, "ok")
    assert seen.standings()[0].state == "done" and seen.standings()[0].count("ok") == 100


def test_results_of_an_earlier_rollout_do_not_count() -> None:
    seen = overview(["one"], begun=3)
    seen.take(TOPICS.result(MODEL, "one"), result("ok", 1, 2), NOW)
    assert seen.standings()[0].state == "running"
    seen.take(TOPICS.result(MODEL, "one"), result("ok", 1, 3), NOW)
    assert seen.standings()[0].state == "done"


def test_the_two_sides_of_a_split_wait_for_their_own() -> None:
    seen = overview(split=(OTHER, 0.5))
    for device in NAMES:
        if seen.asked(seen.devices[device]) == OTHER:
            finish(seen, device, "failed-health", OTHER)
    assert seen.standings()[0].state == "running" and seen.standings()[0].waves[0].waiting > 0


def test_results_count_only_for_the_model_that_is_asked() -> None:
    seen = overview(pins={"cam-007": OTHER})
    finish(seen, "cam-007", "ok")
    finish(seen, "cam-008", "ok", OTHER)
    assert seen.standings()[0].count("ok") == 0
    finish(seen, "cam-007", "ok", OTHER)
    assert seen.standings()[0].count("ok") == 1


def test_a_pinned_device_that_has_not_reported_keeps_a_rollout_open() -> None:
    asked = desired(pins={"one": OTHER})
    assert standing(asked, ["one", "two"], {"two": "ok"}).state == "running"
    assert standing(asked, ["one", "two"], {"two": "ok", "one": "ok"}).state == "done"


def test_alerts_tell_of_heat_drift_and_devices_left_behind() -> None:
    seen = overview(["one"])
    say(seen, "one", "online", presence(True, 1))
    say(
        seen,
        "one",
        "report",
        Report("one", "garden", int(NOW), OTHER, 1, observed=2, code="refused-space", why="1 MB").encode(),
    )
    say(seen, "one", "metrics", {"drift": 0.4, "throttled": 1})
    assert kinds(seen, "one") == {"refused", "behind", "drift", "throttled"}
    seen.devices["one"].heard = NOW - 3600
    assert "silent" in kinds(seen, "one")


@pytest.mark.parametrize(("days", "words"), [(3.2, "in 3 days"), (-1, "have expired"), (20, "")])
def test_signatures_that_end_soon_are_told(days: float, words: str) -> None:
    at = datetime.datetime.fromtimestamp(NOW + days * 86400, datetime.timezone.utc)
    seen = overview(["one"])
    content = json.dumps({"signed": {"expires": at.strftime("%Y-%m-%dT%H:%M:%SZ")}}).encode()
    assert seen.take(TOPICS.repository("meta/timestamp.json"), content, NOW)
    texts = [alert.text for alert in seen.alerts(NOW) if alert.kind == "expiring"]
    assert bool(texts) == bool(words) and words in "".join(texts)


HOSTILE = [
    b"{", b"\xff\xfe", b"[]", b"1", b'"ok"', b"{}x", b"[" * 50000, b'{"a":' * 9000, b"x" * (MOST_BYTES + 1), b"1" * 5000,
    b'{"online": "yes"}', b'{"online": 1}', b'{"model": "../../x"}', b'{"version": -1}', b'{"observed": 1e400}',
    b'{"observed": 1' + b"0" * 5000 + b"}", b'{"code": "<b>"}', b'{"code": ["ok"]}', b'{"code": {}}', b'{"group": "../x"}',
]  # fmt: skip


@pytest.mark.parametrize(
    ("days", "words"), [(29, "its certificate ends in 29 days"), (-1, "cannot connect"), (31, ""), (None, "")]
)
def test_a_certificate_that_ends_soon_is_told(days: float | None, words: str) -> None:
    seen = overview(["one", "two"])
    seen.certificates = {} if days is None else {"one": NOW + days * 86400, "two": NOW + 1e9}
    told = [(alert.about, alert.text) for alert in seen.alerts(NOW) if alert.kind == "expiring"]
    assert [about for about, _ in told] == ["one"] * bool(words) and all(words in text for _, text in told)


@pytest.mark.parametrize("payload", HOSTILE, ids=lambda p: repr(p[:20]))
def test_hostile_messages_change_nothing_and_are_counted(payload: bytes) -> None:
    seen = overview(["one"])
    before = seen.as_dict(NOW)
    for kind in ("online", "report", "metrics", "event"):
        say(seen, "one", kind, payload)
    seen.take(TOPICS.result(MODEL, "one"), payload, NOW)
    seen.take(TOPICS.repository("meta/timestamp.json"), payload, NOW)
    after = seen.as_dict(NOW)
    assert after["rollouts"] == before["rollouts"] and after["devices"][0]["unsound"] > 0
    json.dumps(after, allow_nan=False)


def test_what_is_sent_late_is_no_news() -> None:
    seen = overview(["one"])
    for time, fps in ((NOW - 20, 1), (NOW - 10, 2), (NOW - 15, 3), (NOW + 1e9, 4), (NOW, 5), (NOW - 1, 6)):
        assert say(seen, "one", "metrics", {"time": time, "fps": fps})
    assert seen.devices["one"].metrics == {"fps": 5.0} and seen.devices["one"].sampled == NOW


def test_numbers_and_texts_are_bounded() -> None:
    seen = overview(["one"])
    say(seen, "one", "metrics", b'{"a": NaN, "b": Infinity, "c": 1e300, "d": -5, "e": "12", "f": null, "g": [1]}')
    assert seen.devices["one"].metrics == {"d": -5.0}
    say(seen, "one", "metrics", {f"key{i}": i for i in range(5000)})
    assert len(seen.devices["one"].metrics) <= 100
    say(seen, "one", "report", {"name": "\x1b[2J" + "x" * 9999, "group": "garden"})
    assert seen.devices["one"].title.isprintable() and len(seen.devices["one"].title) <= 300
    for i in range(500):
        say(seen, "one", "event", {"type": "new", "after": {"label": f"person {i}", "top_score": 0.5}})
        seen.take(TOPICS.result(f"{i:064x}"[::-1], "one"), result("ok", 1, 1), NOW)
    assert len(seen.events) == MOST_EVENTS and seen.events[-1]["label"] == "person 499"
    assert all(len(results) <= MOST_RESULTS for results in seen._results.values())


@pytest.mark.parametrize("topic", ["x", TOPICS.up("UPPER", "online"), TOPICS.up("a", "x"), Topics("away").up("a", "online")])
def test_topics_that_are_none_of_ours(topic: str) -> None:
    seen = overview(["one"])
    assert not seen.take(topic, b'{"online": true}', NOW) and set(seen.devices) == {"one"}


def test_ten_thousand_devices_are_counted_quickly_enough() -> None:
    names = [f"cam-{i}" for i in range(10_000)]
    seen = overview(names)
    for device in names[:5000]:
        finish(seen, device, "ok")
    assert seen.standings()[0].count("ok") == 5000 and len(seen.alerts(NOW)) == 10_000
