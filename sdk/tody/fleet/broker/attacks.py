"""What a stolen device could try on a broker, tried: with one device's certificate, against another device and the fleet."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import DeviceError
from ..address import AUTHORITY, CERTIFICATE, KEY, Address
from ..laptop.laptop import CLIENT, Laptop
from .broker import hand_over, issue_identity
from .certificates import Ask, Authority
from .conformance import BAD, GOOD, UNTRIED, Bench, Finding
from .running import reload

THIEF, VICTIM = "tody-check-1", "tody-check-2"
PAUSE = 1.0  # seconds in which a message that must not come would have come
PATIENCE = 5.0  # seconds for a broker to let somebody in
HOUR = 1 / 24  # of a day
NOBODY = "check"  # a group that is none
Files = tuple[Path, Path, Path]


@dataclass(frozen=True)
class Party:
    """Who takes part; None: that attack cannot be tried.

    Attributes:
        thief, victim: two clients' benches.
        outsiders: name of the attack -> files of an identity that must not get in; None: not at hand.
    """

    thief: Bench
    victim: Bench
    outsiders: dict[str, Path | None]


def gather(laptop: Laptop, ask: Ask, folder: Path) -> Party:
    """Make everybody who is needed, in a folder, for an hour.

    Raises:
        TrustError: the passphrase does not open the authority's key.
    """
    authority, broker = Authority(laptop.authority, ask), laptop.folder / "broker"
    for client in (THIEF, VICTIM):
        issue_identity(authority, client, folder / client, HOUR)
    issue_identity(authority, THIEF, folder / "expired", -1)
    issue_identity(authority, "tody-check-3", folder / "revoked", HOUR)
    authority.revoke("tody-check-3")
    if broker.is_dir():
        hand_over(authority, broker)
    foreign = Authority(folder / "foreign", lambda purpose: "x")
    foreign.create(laptop.fleet)
    issue_identity(foreign, CLIENT, folder / "stranger")
    (folder / "stranger" / AUTHORITY).write_bytes(authority.certificate)
    thief, victim = (Bench(Address.parse(laptop.broker, folder / client), laptop.topics, client) for client in (THIEF, VICTIM))
    outsiders = {
        "an expired certificate": folder / "expired",
        "a revoked certificate": folder / "revoked" if reload(broker) else None,
        "a stranger's certificate": folder / "stranger",
    }
    return Party(thief, victim, outsiders)


def attacks(party: Party) -> Iterator[Finding]:
    """Try everything; each finding comes when it is there.

    Raises:
        DeviceError: what the thief is allowed to do does not work either, so that its failures would prove nothing.
    """
    thief, victim = party.thief, party.victim
    token = secrets.token_hex(8)
    if not _written(thief, thief, thief.topic("own"), token.encode()) or not _let_in(thief.address, thief.address.tls):
        raise DeviceError(
            "the attacks cannot be tried", f"{thief.client} cannot even write its own topics", "the first checks?"
        )
    targets = {
        "write as another device": victim.topics.up(victim.client, "check"),
        "command another device": f"{victim.topics.prefix}/d/{victim.client}/down/check",
        "vote as another device": victim.topics.result(token, victim.client),
        "command itself": f"{thief.topics.prefix}/d/{thief.client}/down/check",
        "write into the repository": thief.topics.repository(f"blob/{'0' * 64}"),
        "ring a group's doorbell": thief.topics.doorbell(NOBODY),
    }
    for name, topic in targets.items():
        yield _judged(name, partial(_written, thief, victim, topic, token.encode()))
    yield _judged("a will on another's topic", lambda: _willed(thief, victim, token.encode()))
    yield _judged("listen to another device", lambda: _overheard(thief, victim))
    yield _judged("take another's client id", lambda: _robbed(thief, victim))
    yield _judged("call itself laptop", lambda: _promoted(thief, victim, token.encode()))
    yield _judged("no certificate", lambda: _let_in(thief.address, None))
    for name, folder in party.outsiders.items():
        if folder is None:
            yield Finding("attack", name, UNTRIED, "the broker runs elsewhere: its crl.pem cannot be exchanged from here")
        else:
            files = (folder / AUTHORITY, folder / CERTIFICATE, folder / KEY)
            yield _judged(name, partial(_let_in, thief.address, files))


def _judged(name: str, succeeds: Callable[[], str]) -> Finding:
    try:
        success = succeeds()
    except DeviceError as e:
        return Finding("attack", name, UNTRIED, f"{e.what}: {e.why}")
    return Finding("attack", name, BAD if success else GOOD, success or "refused")


def _written(thief: Bench, victim: Bench, topic: str, token: bytes) -> str:
    """The thief writes; whoever may read it looks. What should not be there is taken away again."""
    with suppress(DeviceError), thief.link() as link:
        link.publish(topic, token, retain=True)
    reader = thief if f"/d/{thief.client}/" in topic else victim
    with reader.link() as link:
        done = link.read([topic])[topic] == token
    if done:
        with suppress(DeviceError), thief.link() as link:
            link.publish(topic, b"", retain=True)
    return f"{topic} was written" if done else ""


def _willed(thief: Bench, victim: Bench, token: bytes) -> str:
    topic = victim.topics.up(victim.client, "check-will")
    with suppress(DeviceError):
        link = thief.link((topic, token)).__enter__()
        link.drop()
        link.__exit__()
    time.sleep(PAUSE)
    with victim.link() as link:
        return "the will was delivered" if link.read([topic])[topic] == token else ""


def _overheard(thief: Bench, victim: Bench) -> str:
    heard: set[str] = set()
    with thief.link() as spy, victim.link() as link:
        spy.listen("#", lambda topic, payload: heard.add(topic))
        link.publish(victim.topics.up(victim.client, "check"), b"secret")
        time.sleep(PAUSE)
    private = [topic for topic in heard if f"/d/{victim.client}/" in topic]
    return f"{private[0]} was heard" if private else ""


def _robbed(thief: Bench, victim: Bench) -> str:
    with victim.link() as link:
        with suppress(DeviceError), Bench(thief.address, thief.topics, victim.client).link():
            time.sleep(PAUSE)
        return "" if link.is_connected else "the other device was thrown off"


def _promoted(thief: Bench, victim: Bench, token: bytes) -> str:
    """A name and a password beside the certificate must not count."""
    topic = thief.topics.repository(f"blob/{'1' * 64}")
    _enter(thief.address, thief.address.tls, CLIENT, (topic, token))
    with victim.link() as link:
        return "it got the laptop's rights" if link.read([topic])[topic] == token else ""


def _let_in(address: Address, files: Files | None) -> str:
    return "it was let in" if _enter(address, files) else ""


def _enter(address: Address, files: Files | None, user: str = "", message: tuple[str, bytes] | None = None) -> bool:
    """Connect without a Link's good manners; returns whether the broker said welcome."""
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    answers: list[bool] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_connect = lambda *facts: answers.append(not facts[3].is_failure)
    client.on_disconnect = lambda *facts: answers.append(False)
    client.tls_set_context(_context(address, files))
    if user:
        client.username_pw_set(user, user)
    with suppress(OSError):
        client.connect(address.host, address.port)
        _turn(client, lambda: bool(answers))
        if answers == [True] and message:
            sent = client.publish(*message, qos=1, retain=True)
            _turn(client, lambda: sent.is_published() or len(answers) > 1)
        client.disconnect()
    return answers[:1] == [True]


def _turn(client: Any, done: Callable[[], bool]) -> None:
    """Let the connection work until it is done, at most for so long. It does not connect again."""
    end = time.monotonic() + PATIENCE
    while not done() and time.monotonic() < end and not client.loop(0.05):
        pass


def _context(address: Address, files: Files | None) -> ssl.SSLContext:
    """Knows the broker, and shows these files, if any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if address.tls:
        context.load_verify_locations(address.tls[0])
    if files:
        context.load_cert_chain(files[1], files[2])
    return context
