"""The dashboard in a real browser, at a real broker, with devices that speak meanwhile: sound ones and hostile ones."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from brokers import free_port, running
from browser import Browser, browser
from fleets import MODEL, OTHER, desired, make_repository, release

from tody.errors import UsageError
from tody.fleet.address import Address
from tody.fleet.chunks import chunk
from tody.fleet.documents import Desired
from tody.fleet.laptop.laptop import Laptop
from tody.fleet.laptop.publish import BrokerSink, publish
from tody.fleet.mqtt import Link
from tody.fleet.reports import CODES, Report, presence, result
from tody.fleet.rollout import plan_waves
from tody.fleet.topics import Topics
from tody.fleet.view.dashboard import Settings, direct, page, served, through
from tody.fleet.view.overview import Overview

TOPICS = Topics("home")
PROBE = TOPICS.up("laptop", "probe")
NAMES = ("cam-1", "cam-2", "cam-3", "cam-4")
DEVICES = dict.fromkeys(NAMES, "garden")
LIVE = "document.getElementById('link').textContent === 'live'"
TEXT = "document.body.innerText"


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium")) as chrome:
        yield chrome


@dataclass
class Site:
    """A broker with WebSockets, and one that speaks for all devices."""

    folder: Path
    port: int
    websockets: int
    link: Link

    @property
    def address(self) -> Address:
        return Address.parse(f"mqtt://127.0.0.1:{self.port}")

    def say(self, device: str, kind: str, facts: bytes | dict[str, Any], *, retain: bool = True) -> None:
        content = facts if isinstance(facts, bytes) else json.dumps(facts).encode()
        self.link.send(TOPICS.up(device, kind), content, retain=retain)

    def greet(self, device: str, model: str = OTHER, **facts: Any) -> None:
        now = int(time.time())
        self.say(device, "online", presence(True, now))
        self.say(device, "report", Report(device, "garden", now, model, 1, "door", **{"observed": 3, **facts}).encode())

    def finish(self, device: str, code: str) -> None:
        self.link.send(TOPICS.result(MODEL, device), result(code, int(time.time()), 3), retain=True)

    def publish(self, state: Desired) -> None:
        repository = make_repository(self.folder / "laptop")
        repository.add_blob(b"model")
        repository.sign_documents("garden", [replace(release(), chunks=(chunk(b"model"),))], state)
        publish(repository, BrokerSink(self.link, TOPICS))


@contextlib.contextmanager
def broker(folder: Path, port: int, websockets: int) -> Iterator[str]:
    with running("mosquitto", folder, port, f"listener {websockets} 127.0.0.1\nprotocol websockets") as url:
        yield url


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    port, websockets = free_port(), free_port()
    with broker(tmp_path, port, websockets) as url, Link(Address.parse(url), "laptop", PROBE) as link:
        yield Site(tmp_path, port, websockets, link)


@contextlib.contextmanager
def shown(chrome: Browser, site: Site, devices: dict[str, str] = DEVICES, **settings: Any) -> Iterator[str]:
    """The page, open and connected."""
    chrome.look(1280, 800)
    with served(Settings("home", "", devices=devices, **settings), site.address) as address:
        chrome.open(address)
        chrome.until(LIVE)
        chrome.said.clear()
        yield address
    chrome.open("about:blank")


def row(device: str, column: str) -> str:
    """The text of a device's cell, in JavaScript."""
    find = f"rows.get({json.dumps(device)})"
    return f"({find} ? {find}.cells.{column}.textContent : null)"


def test_devices_and_waves_appear_and_change_as_they_speak(chrome: Browser, site: Site) -> None:
    waves = plan_waves(MODEL, NAMES, (0.3, 1.0))
    state = desired(3, waves=waves)
    site.publish(state)
    first, later = waves[0].watch[0], waves[1].watch
    for device in NAMES[:3]:
        site.greet(device)
    with shown(chrome, site):
        chrome.until("document.querySelectorAll('.row').length === 2")
        assert chrome.eval("document.querySelector('h3').innerText").startswith("garden → door v1")
        assert "1 waiting" in chrome.eval("document.querySelector('.row').innerText")
        chrome.until("document.getElementById('online').textContent === '3 of 4'")
        assert "cam-4" in chrome.eval("document.getElementById('alerts').innerText")
        site.finish(first, "trial")
        chrome.until("document.querySelector('.row').innerText.includes('1 trying')")
        site.finish(first, "ok")
        chrome.until("document.querySelector('.row').innerText.includes('1 good')")
        site.greet(first, MODEL, code="ok")
        chrome.until(f"{row(first, 'model')} === 'door v1' && {row(first, 'result')} === 'ok'")
        for device in later[:2]:
            site.finish(device, "failed-latency")
        chrome.until("document.querySelector('h3').innerText.includes('halted')")
        assert "failed-latency 2" in chrome.eval("document.querySelector('.why').textContent")
        seen = Overview(TOPICS, DEVICES, [state])
        for device, code in ((first, "ok"), (later[0], "failed-latency"), (later[1], "failed-latency")):
            seen.take(TOPICS.result(MODEL, device), result(code, 1, 3), time.time())
        assert chrome.eval("seen.fleet.standings()") == in_page(seen)
        assert chrome.said == []


def in_page(seen: Overview) -> list[dict[str, Any]]:
    """Standings as the page has them."""
    found = [{**asdict(each), "waves": [asdict(wave) for wave in each.waves]} for each in seen.standings()]
    return [{key: value for key, value in each.items() if key != "codes"} for each in sorted(found, key=lambda s: s["group"])]


def test_the_page_counts_as_python_does(chrome: Browser, site: Site) -> None:
    """Fleets made by chance: the same rollouts and alerts here and there."""
    now = 1_800_000_000.0
    with shown(chrome, site):
        for seed in range(30):
            chance = random.Random(seed)
            names = [f"cam-{i}" for i in range(chance.randrange(1, 60))]
            facts = {"pins": {names[0]: OTHER}} if seed % 3 == 0 else {"split": (OTHER, 0.4)} if seed % 3 == 1 else {}
            facts |= {"paused": seed % 7 == 6, "begun": chance.randrange(3), "halt_share": chance.choice([0.05, 0.5])}
            state = desired(3, waves=plan_waves(MODEL, names[:-1], (0.1, 0.4, 1.0)), **facts)
            messages = [message for device in names for message in chatter(device, chance, now)]
            seen = Overview(TOPICS, dict.fromkeys(names[:-1], "garden"), [state])
            for topic, content in messages:
                seen.take(topic, content, now)
            script = f"""(() => {{
                const fleet = new Fleet("home", {json.dumps(dict.fromkeys(names[:-1], "garden"))});
                fleet.desired = new Map([["garden", {json.dumps(asdict(state))}]]);
                for (const [topic, text] of {json.dumps([(t, c.decode()) for t, c in messages])}) {{
                    fleet.take(topic, encoder.encode(text), {now}, false);
                }}
                return [fleet.standings(), fleet.alerts({now})];
            }})()"""
            standings, alerts = chrome.eval(script)
            assert standings == in_page(seen)
            order = [(each["kind"], each["about"], each["text"]) for each in alerts]
            assert sorted(order) == sorted((each.kind, each.about, each.text) for each in seen.alerts(now))


def chatter(device: str, chance: random.Random, now: float) -> Iterator[tuple[str, bytes]]:
    """What a device might say."""
    code = chance.choice(["ok", "ok", "ok", *CODES])
    if chance.random() < 0.8:
        yield TOPICS.up(device, "online"), presence(chance.random() < 0.8, int(now))
    if chance.random() < 0.8:
        report = Report(device, "garden", int(now), MODEL, 1, "door", observed=chance.randrange(4), code=code, why="so")
        yield TOPICS.up(device, "report"), report.encode()
    if chance.random() < 0.7:
        for model in (MODEL, OTHER):
            yield TOPICS.result(model, device), result(code, int(now), chance.randrange(4))
    for _ in range(chance.randrange(4)):
        sample = {"time": now - chance.randrange(99), "input_drift": chance.random(), "throttled": chance.randrange(2)}
        yield TOPICS.up(device, "metrics"), json.dumps(sample).encode()
    if chance.random() < 0.1:
        yield TOPICS.up(device, "report"), chance.choice([b"{", b"[]", b'{"code": "x"}', b'{"observed": -1}', b""])
    if chance.random() < 0.05:
        yield TOPICS.up(device, "online"), b""


def test_metrics_are_drawn_and_keep_on_being_drawn(chrome: Browser, site: Site) -> None:
    site.greet("cam-1")
    with shown(chrome, site):
        at = time.time() - 60
        for i in range(6):
            sample = {
                "fps": 30 - i,
                "latency_p50_ms": 20 + i,
                "latency_p95_ms": 25 + i,
                "latency_p99_ms": None if i == 3 else 40,
            }
            site.say("cam-1", "metrics", {"time": at + 10 * i, "temperature_c": 51.5, **sample})
        chrome.until(
            f"{row('cam-1', 'fps')} === '25' && {row('cam-1', 'latency')} === '30' && {row('cam-1', 'heat')} === '51.5'"
        )
        chrome.until("document.querySelectorAll('polyline').length === 5")  # p99 has a gap; and there is fps
        words = chrome.eval("document.querySelector('svg').getAttribute('aria-label')")
        assert words == "Latency in ms, median of all devices: now p50 25 ms, p95 30 ms, p99 40 ms"
        site.say("cam-1", "metrics", {"time": at - 100, "fps": 1})  # late, from an outbox: no news, but part of the line
        chrome.until("seen.fleet.devices.get('cam-1').samples.length === 7")
        assert chrome.eval("seen.fleet.devices.get('cam-1').samples[0].fps") == 1
        assert chrome.eval(row("cam-1", "fps")) == "25"
        chrome.eval("rows.get('cam-1').row.querySelector('button').focus()")
        chrome.eval("rows.get('cam-1').row.querySelector('button').click()")
        chrome.until("document.getElementById('chart-of').textContent === 'cam-1'")
        site.say("cam-1", "metrics", {"time": at + 61, "fps": 7.25})
        chrome.until(f"{row('cam-1', 'fps')} === '7.25'")
        assert chrome.eval("document.activeElement.textContent") == "cam-1"  # drawing again took the focus from nobody
        assert chrome.said == []


def test_events_and_devices_that_nobody_listed(chrome: Browser, site: Site) -> None:
    with shown(chrome, site, {}):
        assert chrome.eval("!document.getElementById('empty').hidden && !document.getElementById('no-rollouts').hidden")
        site.greet("stranger")
        chrome.until(f"{row('stranger', 'state')} === 'online'")
        chrome.until("document.getElementById('alerts').innerText.includes('is incomplete')")
        assert chrome.eval("document.getElementById('empty').hidden")
        event = {"type": "new", "before": {}, "after": {"label": "person", "top_score": 0.87, "frame_time": time.time()}}
        site.say("stranger", "event", event, retain=False)
        chrome.until("document.getElementById('events').innerText.includes('new person')")
        chrome.eval("document.getElementById('filter').value = 'nobody'")
        chrome.eval("document.getElementById('filter').dispatchEvent(new Event('input'))")
        chrome.until("document.querySelectorAll('#devices tr').length === 0")


def test_it_comes_back_when_the_broker_does(chrome: Browser, tmp_path: Path) -> None:
    port, websockets = free_port(), free_port()
    settings, where = Settings("home", "", devices=DEVICES), Address.parse(f"mqtt://127.0.0.1:{port}")
    with served(settings, where) as address:
        chrome.open(address)
        chrome.until("document.getElementById('link').textContent.includes('next try')")  # there is no broker yet
        for fps in ("11", "12"):
            with (
                broker(tmp_path, port, websockets) as url,
                Link(Address.parse(url), "laptop", PROBE) as link,
            ):
                chrome.until(LIVE, 20)
                assert not chrome.eval("document.body.classList.contains('stale')")
                link.publish(TOPICS.up("cam-1", "metrics"), json.dumps({"fps": int(fps)}).encode())
                chrome.until(f"{row('cam-1', 'fps')} === '{fps}'")
            chrome.until("document.body.classList.contains('stale')")
            assert chrome.eval(row("cam-1", "fps")) == fps  # what was known is still there
    chrome.open("about:blank")


HTML = "<img src=x onerror=hacked=1><script>hacked=1</script>"


def test_hostile_messages_are_shown_as_text_or_not_at_all(chrome: Browser, site: Site) -> None:
    with shown(chrome, site):
        site.greet("cam-1", code="failed-test", why=HTML)
        site.say("cam-1", "report", {**json.loads(Report("cam-1", "garden", 1, MODEL, 1, HTML).encode()), "why": HTML})
        site.say("cam-2", "report", {"model": MODEL, "name": HTML * 50, "code": "failed-test", "why": "\u202e" + HTML})
        site.say("cam-2", "metrics", b'{"fps": 1e999, "latency_p50_ms": -1e14, "__proto__": 1, "x_drift": 1e14, "time": 1e18}')
        site.say("cam-2", "event", {"type": HTML, "after": {"label": HTML, "top_score": "1"}}, retain=False)
        broken = (b"{", b"[1]", b"\xff\xfe", b"[" * 3000, b'{"a":' * 500, b"null", b'{"online": "no"}', b"1" * 3000)
        for payload in broken:
            for kind in ("online", "report", "metrics", "event"):
                site.say("cam-3", kind, payload, retain=False)
        site.say("cam-3", "metrics", b'{"fps": 1, "x": "' + b"x" * 70000 + b'"}')
        for topic in (
            "d/../up/online",
            f"d/{HTML[:10]}/up/online",
            "d/UP/up/online",
            "ro/zz/cam-1",
            "d/cam-1/up/x",
            "ro/a/b/c",
        ):
            site.link.send(f"{TOPICS.prefix}/{topic}", b'{"online": true}')
        site.link.send(TOPICS.repository("meta/timestamp.json"), b'{"signed": {"expires": 3, "meta": {"snapshot.json": 1}}}')
        site.link.send(TOPICS.repository("meta/timestamp.json"), b"<")
        site.greet("cam-4")
        chrome.until(f"{row('cam-4', 'state')} === 'online'")
        chrome.until("seen.fleet.devices.get('cam-3').unsound > 28")
        assert chrome.eval("typeof hacked") == "undefined"
        assert chrome.eval("document.querySelectorAll('img, #rollouts script, iframe').length") == 0
        assert HTML in chrome.eval(TEXT) and chrome.eval(LIVE)
        assert chrome.eval("[...seen.fleet.devices.keys()].sort().join()") == ",".join(NAMES)
        assert chrome.eval("document.documentElement.scrollWidth <= innerWidth")
        assert not [line for line in chrome.said if "error" in line], chrome.said


def test_settings_cannot_break_out_of_the_page(chrome: Browser, site: Site) -> None:
    password = "</script><script>hacked=1</script>{{script}}"
    with shown(chrome, site, user="dashboard", password=password):
        assert chrome.eval("typeof hacked") == "undefined" and chrome.eval("settings.password") == password


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_can_be_read_in_light_and_dark_and_on_a_phone(chrome: Browser, site: Site, dark: bool) -> None:
    site.publish(desired(3, waves=plan_waves(MODEL, NAMES, (0.3, 1.0))))
    long = "x" * 63
    for i, device in enumerate((*NAMES, long)):
        site.greet(device, code=("ok", "failed-latency", "refused-signature", "", "testing")[i])
        site.say(
            device,
            "metrics",
            {"fps": 12345.678, "latency_p95_ms": 1e6, "input_drift": 0.5, "throttled": 1, "temperature_c": 80},
        )
        site.say(device, "metrics", {"fps": 3, "latency_p95_ms": 2e6, "input_drift": 0.5, "throttled": 1, "temperature_c": 80})
    site.finish("cam-2", "failed-latency")
    with shown(chrome, site, {**DEVICES, long: "garden"}):
        chrome.until("document.querySelectorAll('.row').length === 2 && rows.size === 5")
        for width in (1280, 800, 390, 320):
            chrome.look(width, 800, dark)
            chrome.until(f"innerWidth === {width}")
            assert chrome.eval("document.documentElement.scrollWidth") <= width
        assert chrome.eval("matchMedia('(prefers-color-scheme: dark)').matches") == dark
        assert chrome.eval(CONTRASTS) == []


# Texts whose contrast with what is behind them is below 4.5, as https://www.w3.org/TR/WCAG21/#contrast-minimum asks.
CONTRASTS = """(() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    const behind = (element) => {
        const colour = numbers(getComputedStyle(element).backgroundColor);
        return colour.length < 4 || colour[3] === 1 ? colour : behind(element.parentElement);
    };
    const found = [];
    for (const element of document.querySelectorAll('body *:not(svg *)')) {
        const says = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!says || !element.offsetParent) continue;
        const [a, b] = [light(numbers(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
        if ((a + 0.05) / (b + 0.05) < 4.5) found.push([element.outerHTML.slice(0, 80), (a + 0.05) / (b + 0.05)]);
    }
    return found;
})()"""


def test_a_page_in_a_file_speaks_to_the_broker_itself(chrome: Browser, site: Site, tmp_path: Path) -> None:
    site.greet("cam-1")
    html = page(Settings("home", f"ws://127.0.0.1:{site.websockets}/mqtt", devices=DEVICES))
    assert f"connect-src ws://127.0.0.1:{site.websockets};" in html
    (tmp_path / "page.html").write_text(html)
    chrome.open((tmp_path / "page.html").as_uri())
    chrome.until(f"{LIVE} && {row('cam-1', 'state')} === 'online'")
    chrome.open("about:blank")


def test_only_who_knows_the_address_gets_the_page(site: Site) -> None:
    secret = replace(site.address, tls=(Path(), Path(), Path()))
    with served(Settings("home", ""), secret) as address:
        with urllib.request.urlopen(address) as answer:
            assert b"<h1" in answer.read() and answer.headers["Cache-Control"] == "no-store"
        root = address.split("/", 3)[:3]
        for path in ("/", "/mqtt", "/index.html", "/../", "/x/mqtt"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen("/".join(root) + path)
        for headers in ({"Host": "evil.example"}, {"Host": "evil.example:80"}, {"Origin": "http://evil.example"}, {"Host": ""}):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(urllib.request.Request(address, headers=headers))
        port = int(root[2].rpartition(":")[2])
        with pytest.raises(UsageError, match="port"), served(Settings("home", ""), site.address, port):
            pass
    with served(Settings("home", ""), site.address, port) as address:  # nothing secret, nothing to remember
        assert address == f"http://127.0.0.1:{port}/"


def test_where_a_page_finds_the_broker(tmp_path: Path) -> None:
    fleet = Laptop(tmp_path, "home", "mqtt://localhost", devices={"cam-1": "garden"})
    assert direct(fleet).url == "ws://127.0.0.1:9001" and direct(fleet).user == ""
    settings, where = through(fleet)
    assert (where.host, where.tls, settings.once, settings.devices) == ("localhost", None, False, fleet.devices)
    for url in ("http://host", "ws://", "host"):
        with pytest.raises(UsageError):
            direct(fleet, url)
    fleet.broker = "mqtts://hub"
    for find in (direct, through):
        with pytest.raises(UsageError):
            find(fleet)
    fleet.identity.mkdir()
    entry = {"user": "dashboard", "password": "p", "url": "wss://hub:8884", "local": "ws://127.0.0.1:9001"}
    (fleet.identity / "dashboard.json").write_text(json.dumps([entry, {**entry, "user": "dashboard-hall"}]))
    settings = direct(fleet, None, "dashboard-hall")
    assert (settings.user, settings.password, settings.url, settings.once) == ("dashboard-hall", "p", "wss://hub:8884", True)
    with pytest.raises(UsageError, match="no dashboard"):
        direct(fleet, None, "dashboard-x")
    (fleet.identity / "dashboard.json").write_text("[{}")
    with pytest.raises(UsageError, match="not sound"):
        direct(fleet)
