"""What the owner of a fleet does to it: push a model to a group, and change what the group shall run."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ..chunks import chunk
from ..documents import Desired, Release
from . import steer
from .archive import Archive
from .release import Limits, make_release, outdated, proved, to_send
from .signing import Owner


@dataclass(frozen=True)
class Plan:
    """What is about to be signed.

    Attributes:
        release, desired: the documents.
        send: by version of the release that a device may have, the bytes that it fetches then; 0: a device that has none.
        devices: of the group, as far as they are known.
    """

    release: Release
    desired: Desired
    send: dict[int, int]
    devices: int


def push(
    owner: Owner,
    path: Path,
    group: str,
    change: Callable[[Desired | None, str, Sequence[str]], Desired],
    limits: Limits | None = None,
    agree: Callable[[Plan], bool] = lambda plan: True,
) -> Plan:
    """Test a model here, sign it as a release of a group, and publish it with a change of what the group shall run.

    Args:
        change: the next desired state from the present one (None: it is the first), the model, and the group's known devices.
        agree: asked before anything is signed.

    Raises:
        AccuracyError, ModelError: the model fails its own test, or is damaged.
        UsageError: it has no golden outputs, there is no such group, or `agree` said no.
        DeviceError, TrustError: as `Owner.signing` raises them.
    """
    content = proved(path)
    devices = owner.laptop.devices_of(group)
    with owner.signing() as archive:
        require_group(archive, group)
        earlier = archive.releases(group)
        release = make_release(archive, group, path.stem, content, limits or Limits(), owner.stage)
        desired = change(archive.desired(group), release.model, devices)
        bases = {base.version: to_send(release, base) for base in earlier if base.model != release.model}
        plan = Plan(release, desired, {0: to_send(release), **bases}, len(devices))
        if not agree(plan):
            raise UsageError("nothing was pushed", "you did not agree", "--yes does not ask")
        archive.sign_documents(group, [release], desired, outdated(archive, desired, release))
    return plan


def change(owner: Owner, group: str, change: Callable[[Archive, Desired], Desired]) -> Desired:
    """Sign and publish a change of what a group shall run; returns the new state.

    Raises:
        UsageError: nothing was pushed to the group yet, or the change is not possible.
        DeviceError, TrustError: as `Owner.signing` raises them.
    """
    with owner.signing() as archive:
        require_group(archive, group)
        before = archive.desired(group)
        if before is None:
            raise UsageError(
                f"nothing was pushed to the group {group} yet",
                "there is no model to change anything about",
                "tody push MODEL " + group,
            )
        desired = change(archive, before)
        archive.sign_documents(group, [], desired)
    return desired


def roll_back(archive: Archive, before: Desired) -> Desired:
    """`steer.roll_back`, if devices may follow.

    Raises:
        UsageError: the model before is not kept any more, or below the security that devices have trusted since.
    """
    after = steer.roll_back(before)
    past, present = find_release(archive, before.group, after.model), find_release(archive, before.group, before.model)
    if past.security < present.security:
        why = f"release {past.version} has security {past.security}, and who trusted {present.version} wants {present.security}"
        raise UsageError("devices would refuse to go back", why, "push a repaired model")
    return after


def find_release(archive: Archive, group: str, which: str) -> Release:
    """A release of a group by its version, the beginning of its SHA-256 (6 digits or more), or its file.

    Raises:
        UsageError: there is none, or several.
    """
    releases = archive.releases(group)
    path = Path(which)
    start = chunk(path.read_bytes()).sha256 if path.is_file() else which.lower()
    if start.removeprefix("v").isdecimal() and len(start) < 6:
        found = [release for release in releases if release.version == int(start.removeprefix("v"))]
    else:
        found = [release for release in releases if len(start) >= 6 and release.model.startswith(start)]
    if len(found) != 1:
        there = ", ".join(f"{release.version} ({release.model[:12]} {release.name})" for release in releases)
        why = f"the group {group} has the releases {there}" if there else f"the group {group} has no release"
        raise UsageError(f"{which!r} is none of the releases", why, "give a version, or push the model first")
    return found[0]


def require_group(archive: Archive, group: str) -> None:
    """See that there is such a group.

    Raises:
        UsageError: there is none.
    """
    if group not in archive.groups:
        there = ", ".join(archive.groups) or "none"
        raise UsageError(f"there is no group {group}", f"the fleet has the groups {there}", f"tody keys add {group}")
