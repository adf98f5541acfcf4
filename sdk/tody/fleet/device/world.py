"""The world of a device's cycle: signed documents, a broker or a folder to fetch from, the self-test, the camera's health.

Only `look` asks what is wanted; the cycle then acts on what it learned. Reports that cannot be sent now are sent when there is
a connection again: each says the whole truth, so the newest one is enough.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..._runtime import __version__
from ...errors import DeviceError, TodyError, TrustError
from ..disk import FolderDisk, put
from ..documents import Desired, Release, parse_desired, parse_release
from ..documents import encode as encode_document
from ..mqtt import Link
from ..reports import Report, result_code
from ..ring import NO_RING, Ring
from ..rollout import asked_of, turn, watched_by
from ..source import BrokerSource, FolderSource, Source, one
from . import shadow
from .ahead import Ahead
from .budget import TIMEOUT, Verdict, examine
from .cycle import Wish
from .fetch import fetch
from .health import Health
from .identity import Device
from .names import add_names, read_names
from .needs import lacking
from .store import Store
from .teller import Teller
from .trust import Trust

CONDITIONS = "desired.json"  # in the store: the newest desired state, for a trial that goes on after a restart
WINDOW_S = 60.0  # of a trial, if no desired state is known
REFUSED = {"expired": "refused-expired", "rollback": "refused-rollback"}  # every other fault of trust: refused-signature
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What the signed documents ask of this device.

    Attributes:
        release: of the model that it shall run; `shadow`: of the one to compare it with.
        unmet: code and reason, if the device lacks what the release needs.
        turn: as `tody.fleet.rollout.turn` has it.
    """

    desired: Desired
    release: Release
    shadow: Release | None
    unmet: tuple[str, str] | None
    turn: str

    @property
    def releases(self) -> dict[str, Release]:
        return {release.model: release for release in (self.release, self.shadow) if release}


class FleetWorld:
    """`tody.fleet.device.cycle.World` of one device.

    Args:
        device: who it is.
        folder: of the store.
        store: opened there.
        root: the root metadata that it trusts.
        link: to the broker; it need not be connected.
        stick: a folder with an exported repository, looked at when the broker has nothing to say.
        test_s: how long a self-test may take.
        threads: of the models, None: as many as there are CPUs, at most 4.
        say: called with lines for the log.
    """

    def __init__(
        self,
        device: Device,
        folder: Path,
        store: Store,
        root: bytes,
        link: Link,
        stick: Path | None = None,
        test_s: float = TIMEOUT,
        threads: int | None = None,
        say: Say = lambda text: None,
    ) -> None:
        self.device, self._folder, self._store, self._link, self._stick = device, folder, store, link, stick
        self._test_s, self._threads, self._say = test_s, threads, say
        self._source: Source = BrokerSource(link, device.topics)
        self._trust = Trust(folder / "meta", root, lambda path, most: one(self._source, path, most), store)
        self._verdicts: dict[str, Verdict] = {}
        self._transient: dict[str, str] = {}  # model -> a code that no state remembers
        self._reasons: dict[str, str] = {}  # model -> why it failed: told until another one is asked for, however often looked
        self.teller = Teller(link, device)
        self.wanted: Wanted | None = None
        self.refused = ""  # the code, if what was found is not to be trusted
        self.why = ""
        self.watch = Health(folder)

    # What is wanted

    def look(self, ring: Ring = NO_RING) -> None:
        """Learn what the signed documents ask for, from the broker or else from the folder.

        Args:
            ring: what a doorbell has said.

        Raises:
            TrustError: what was found cannot be trusted.
            OSError: there is nothing to ask, or it does not answer.
        """
        faults: list[TodyError | OSError] = []
        for source in self._sources(ring):
            self._source = source
            try:
                self.wanted, self.refused, self.why = self._look(), "", ""
                return
            except (TrustError, OSError) as e:
                faults.append(e)
        fault = next((e for e in faults if isinstance(e, TrustError)), faults[0] if faults else None)
        if isinstance(fault, TrustError):
            self.refused, self.why = REFUSED.get(fault.code, "refused-signature"), f"{fault.code}: {fault.what}"
        raise fault or DeviceError(
            "there is no connection to the broker", "nothing can be fetched from it", "it is tried again by itself"
        )

    def _sources(self, ring: Ring) -> Iterator[Source]:
        if self._link.is_connected:
            for said in dict.fromkeys((ring, NO_RING)):  # once more without the doorbell, which may have said anything
                yield Ahead(self._link, self.device.topics, said, self._trust.next_root)
        if self._stick and (self._stick / "meta").is_dir():
            yield FolderSource(self._stick)

    def _look(self) -> Wanted | None:
        self._trust.refresh()
        group = self.device.group
        try:
            desired = parse_desired(self._trust.document(f"desired/{group}.json"))
        except TrustError as e:
            if e.code == "missing":
                return None
            raise
        if desired.group != group:
            raise TrustError(f"the desired state of {group} is that of {desired.group}", "", "sign it again", "malformed")
        release = self._release(asked_of(desired, self.device.device))
        beside = self._release(desired.shadow[0]) if desired.shadow else None
        stored = self._store.has_model(release.model)
        wanted = Wanted(desired, release, beside, lacking(release, self._folder, stored), self._turn(desired, release.model))
        self._remember(wanted)
        return wanted

    def _release(self, model: str) -> Release:
        release = parse_release(self._trust.document(f"release/{self.device.group}/{model}.json"))
        if release.model != model:
            raise TrustError(f"the release {model[:12]} is one of {release.model[:12]}", "", "sign it again", "malformed")
        return release

    def _turn(self, desired: Desired, model: str) -> str:
        """Whose turn it is, by the results of others. Who carries a folder here has decided that, unless all are paused."""
        if isinstance(self._source, FolderSource) or self._store.state.running == model:
            return "paused" if desired.paused else "now"
        topics = {other: self.device.topics.result(model, other) for other in watched_by(desired, self.device.device)}
        found = self._link.read(list(topics.values()))
        codes = {other: result_code(found[topic], desired.begun) for other, topic in topics.items()}
        return turn(desired, self.device.device, {other: code for other, code in codes.items() if code})

    def _remember(self, wanted: Wanted) -> None:
        add_names(self._folder, wanted.releases.values(), self._store.state.wanted)
        content = encode_document(wanted.desired)
        path = self._folder / CONDITIONS
        if not path.is_file() or path.read_bytes() != content:
            put(FolderDisk(self._folder), CONDITIONS, [content])

    def _conditions(self) -> Desired | None:
        if self.wanted:
            return self.wanted.desired
        with contextlib.suppress(TrustError, OSError):
            return parse_desired((self._folder / CONDITIONS).read_bytes())
        return None

    # What the cycle asks

    def wish(self) -> Wish:
        if not self.wanted or self.refused not in ("", *REFUSED.values()):
            return Wish()
        desired, release = self.wanted.desired, self.wanted.release
        allowed = "unmet" if self.wanted.unmet else "yes"
        if self.refused:
            allowed = self.refused.removeprefix("refused-")
        keep = tuple(self.wanted.releases)
        return Wish(release.model, desired.generation, release.security, allowed, self.wanted.turn, desired.begun, keep)

    def fetch(self, model: str, store: Store) -> None:
        release = self._known(model)
        if isinstance(self._source, BrokerSource) and not self._link.is_connected:
            raise DeviceError(
                "there is no connection to the broker", "nothing can be fetched from it", "it is tried again by itself"
            )
        parts = [*release.chunks, *(part for delta in release.deltas.values() for part in delta.chunks)]
        store.tidy(self.wanted.releases if self.wanted else (), {part.sha256 for part in parts})
        self._say(f"fetching {release.name} version {release.version}, {release.bytes} bytes")
        fetch(release, store, self._source)

    def _known(self, model: str) -> Release:
        release = self.wanted.releases.get(model) if self.wanted else None
        if release is None:
            raise FileNotFoundError(f"no release of {model[:12]} is known")
        return release

    def test(self, model: str) -> str:
        path = self._folder / "models" / f"{model}.tody"
        verdict = examine(path, self._known(model), self._test_s, self._threads)
        self._verdicts = {model: verdict}
        self.why = verdict.why
        took = f", {verdict.latency_ms:.1f} ms" if verdict.latency_ms is not None else ""
        self._say(f"self-test of {model[:12]}: {verdict.code}{took}{f' ({verdict.why})' if verdict.why else ''}")
        return verdict.code

    def use(self, model: str | None) -> None:
        self.watch.begin(model)

    def health(self) -> str:
        conditions = self._conditions()
        rules, window = (conditions.health, conditions.window_s) if conditions else ((), WINDOW_S)
        code = self.watch.judge(rules, window)
        self.why = self.watch.why if code.startswith("failed") else self.why
        return code

    def report(self, model: str, code: str) -> None:
        self._transient = {model: code}
        if code.startswith("failed"):
            self._reasons = {model: self.why}
        self._say(f"{model[:12]}: {code}{f' ({self.why})' if self.why and code.startswith('failed') else ''}")
        generation = self.wanted.desired.generation if self.wanted else self._store.state.floors.generation
        self.teller.result(model, code, generation)

    # What others learn

    def _standing(self, wanted: Wanted | None, action: str) -> tuple[str, str]:
        """How far this device came with the model that is asked of it, and why it is no further."""
        if self.refused:
            return self.refused, self.why
        if wanted is None:
            return "", ""
        state, model = self._store.state, wanted.release.model
        if model in (state.trial, state.active):
            return "trial" if model == state.trial else "ok", ""
        if action == "refuse":
            return wanted.unmet or ("refused-rollback", "it is below what was seen before")
        if state.has_failed(model, wanted.desired.begun):
            return state.failed[model].code, self._reasons.get(model, self.why)
        return self._transient.get(model, ""), {"wait": f"turn: {wanted.turn}"}.get(action, self.why)

    def distrust(self, fault: Exception) -> None:
        """What was fetched for a model that is asked for is not what was signed."""
        if isinstance(fault, TrustError) and not self.refused and self.wanted:
            self.why = f"{fault.code}: {fault.what}"
            self.report(self.wanted.release.model, "refused-signature")

    def announce(self, action: str) -> None:
        """Tell where the device stands, and how far it came with the model that is asked for."""
        state, wanted, record = self._store.state, self.wanted, self.watch.record()
        asked = wanted.release if wanted else None
        version, name = read_names(self._folder).get(state.running or "", (None, ""))
        code, why = self._standing(wanted, action)
        report = Report(
            device=self.device.device,
            group=self.device.group,
            model=state.running,
            version=version,
            name=name,
            trial=state.trial is not None,
            previous=state.active if state.trial else state.previous,
            asked=asked.model if asked else None,
            generation=wanted.desired.generation if wanted else 0,
            observed=state.floors.generation,
            code=code,
            why=why,
            action=action,
            tody=__version__,
            shadow=record.shadow if record else None,
        )
        self.teller.report(report)
        if wanted and code and not self.refused:
            self.teller.result(wanted.release.model, code, wanted.desired.generation)

    # The candidate beside the model

    def follow_shadow(self) -> None:
        """Bring and test the candidate that is to be compared, and ask the camera process to do it.

        Raises:
            TodyError, OSError: it cannot be brought now.
        """
        part, state = self.wanted.desired.shadow if self.wanted else None, self._store.state
        if part is None or part[0] == state.running or state.trial:
            return shadow.ask(self._folder, None)
        if not self._store.has_model(part[0]):
            self.fetch(part[0], self._store)
        if part[0] not in self._verdicts:
            self.test(part[0])
        return shadow.ask(self._folder, part if self._verdicts[part[0]].code == "ok" else None)
