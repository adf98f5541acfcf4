"""Sign something and bring it to the devices, or leave everything as it was."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import TrustError
from ..source import Source
from .archive import Archive
from .laptop import Ask, Laptop
from .mirror import merge
from .publish import BrokerSink, FolderSink, Sink, flip, ring, sweep, upload
from .repository import Repository


@dataclass(frozen=True)
class Owner:
    """Who signs for a fleet, and where it goes.

    Attributes:
        ask: called for the passphrase of the keys.
        to: a folder to write instead of publishing; None: the broker.
        stage: called with what is going on, how much of it is done, and of how much.
        note: called with what the user should know.
    """

    laptop: Laptop
    ask: Ask
    to: Path | None = None
    stage: Callable[[str, int, int], None] = lambda what, done, total: None
    note: Callable[[str], None] = lambda text: None

    @contextmanager
    def signing(self) -> Iterator[Repository]:
        """The repository, up to date, to sign in; what was signed is published at the end of the block, and the bell rung.

        If anything fails or is interrupted before the new timestamp is out, what was signed is forgotten, and devices go on to
        see the old state.

        Raises:
            DeviceError: there is no broker, or it does not keep what it takes; or somebody else signs now.
            TrustError, UsageError: a key is missing or does not open.
        """
        laptop = self.laptop
        with laptop.locked(), contextlib.ExitStack() as stack:
            repository = laptop.repository(self.ask)
            link = stack.enter_context(laptop.link()) if self.to is None else None
            sink: Sink = BrokerSink(link, laptop.topics) if link else _folder(self.to or Path())
            if link:
                catch_up(repository, sink, self.note)
            before = _generations(repository)
            with repository.undone_if_it_fails():
                yield repository
                upload(repository, sink, lambda done, total: self.stage("publishing", done, total))
            flip(repository, sink)
            for group, generation in _generations(repository).items():
                if link and before.get(group) != generation:
                    ring(link, laptop.topics, repository, group, len(laptop.devices_of(group)))
            sweep(repository, sink)
            if link:  # a folder gets its own; the broker may still have them
                repository.forget(repository.strays())

    @contextmanager
    def signing_here(self) -> Iterator[Repository]:
        """The repository to sign in, without publishing: devices see it with the next push."""
        with self.laptop.locked():
            repository = self.laptop.repository(self.ask)
            with repository.undone_if_it_fails():
                yield repository


def catch_up(repository: Archive, source: Source, note: Callable[[str], None] = lambda text: None) -> None:
    """Take over what a keeper or another laptop has signed meanwhile. What cannot be believed is replaced by what is here."""
    try:
        if merge(repository, source):
            note("took over what was signed elsewhere since")
    except (TrustError, FileNotFoundError) as e:
        note(f"what the broker has is not sound and will be replaced: {getattr(e, 'what', e)}")


def _folder(to: Path) -> FolderSink:
    to.mkdir(parents=True, exist_ok=True)
    return FolderSink(to)


def _generations(repository: Repository) -> dict[str, int]:
    asked = {group: repository.desired(group) for group in repository.groups}
    return {group: desired.generation for group, desired in asked.items() if desired}
