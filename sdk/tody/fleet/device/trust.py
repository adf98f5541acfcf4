"""What a device believes: python-tuf decides, and floors of our own that survive power cuts stand beneath it.

TUF alone keeps its memory in files that it does not sync, and knows no time but the clock's. So every version that was seen is
also a floor in the store, written before the metadata is used, and so is the newest signed time: a clock that has fallen behind
it, as that of a board without a battery does, cannot make old metadata fresh again.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...errors import MissingExtraError, TrustError
from .store import Store

MOST = {"root": 64 << 10, "timestamp": 16 << 10, "snapshot": 1 << 20, "targets": 4 << 20}  # bytes
MOST_DOCUMENT = 16 << 20
SIGNED_AT = "signed"  # a field of the timestamp: when it was signed, in seconds since 1970
Get = Callable[[str, int], "bytes | None"]


class Trust:
    """The signed documents of a fleet, as far as they can be trusted now.

    Args:
        folder: where python-tuf keeps its metadata.
        root: the root metadata that the device was given when it was enrolled.
        get: brings a file of the repository (`meta/<file>` or `blob/<sha256>`) of at most so many bytes; None: it is not there.
            Raises OSError when it cannot know.
        store: has the floors.
        now: the clock, in seconds since 1970.
    """

    def __init__(self, folder: Path, root: bytes, get: Get, store: Store, now: Callable[[], float] = time.time) -> None:
        self._folder, self._root, self._get, self._store, self._now = folder, root, get, store, now
        self._updater: Any = None
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.glob("tmp*"):  # what python-tuf had not renamed when power failed
            left.unlink()

    @property
    def next_root(self) -> int:
        """The version of the root metadata that would replace the one that is trusted."""
        return 1 + max(self._store.state.floors.root, int(json.loads(self._root)["signed"]["version"]))

    def refresh(self) -> None:
        """Bring the metadata up to date, prove it, and raise the floors.

        Raises:
            TrustError: it cannot be trusted; `code` says why. What was trusted before still is.
            OSError: the repository cannot be reached, or the disk cannot be written.
            MissingExtraError: tuf is not installed.
        """
        with _told():
            updater = self._make_updater()
            updater.refresh()
            trusted = updater._trusted_set
            floors = self._store.state.floors
            versions = {role: getattr(trusted, role).version for role in ("root", "timestamp", "snapshot")}
            for role, version in versions.items():
                if version < getattr(floors, role):
                    why = f"version {version} of {role} is below {getattr(floors, role)}, which was seen before"
                    raise TrustError("the repository went back in time", why, "someone replays old messages", "rollback")
            signed_at = trusted.timestamp.unrecognized_fields.get(SIGNED_AT, 0)
            self._store.raise_floors(time=signed_at if isinstance(signed_at, int) else 0, **versions)
            self._updater = updater

    def document(self, path: str) -> bytes:
        """A signed document, such as `desired/garden.json`, as of the last `refresh`.

        Raises:
            TrustError: it is not there, or is not what was signed.
            OSError: the repository cannot be reached.
        """
        if self._updater is None:
            self.refresh()
        with _told():
            target = self._updater.get_targetinfo(path)
            if target is None:
                raise TrustError(f"nobody who may has signed {path}", "", "publish it, with the group's key", "missing")
            if target.length > MOST_DOCUMENT or "sha256" not in target.hashes:
                raise TrustError(f"{path} is too large, or has no SHA-256", "", "", "malformed")
            content = self._get(f"blob/{target.hashes['sha256']}", target.length)
            if content is None:
                raise FileNotFoundError(f"{path} is signed but not there yet")
            target.verify_length_and_hashes(content)
            return content

    def _make_updater(self) -> Any:
        try:
            from tuf.ngclient import config, updater
        except ImportError as e:
            raise MissingExtraError("tuf", "fleet") from e
        limits: Any = {f"{role}_max_length": most for role, most in MOST.items()}
        made = updater.Updater(
            str(self._folder),
            "meta/",
            fetcher=_fetcher(self._get),
            config=config.UpdaterConfig(**limits),
            bootstrap=self._root,
        )
        clock = max(self._now(), self._store.state.floors.time)
        made._trusted_set.reference_time = datetime.fromtimestamp(clock, timezone.utc)
        return made


def _fetcher(get: Get) -> Any:
    from tuf.api.exceptions import DownloadHTTPError
    from tuf.ngclient.fetcher import FetcherInterface

    class Fetcher(FetcherInterface):
        """Metadata by whatever brings it."""

        def _fetch(self, url: str) -> Iterator[bytes]:
            content = get(url, max(MOST.values()))
            if content is None:
                raise DownloadHTTPError("it is not there", 404)
            return iter([content])

    return Fetcher()


@contextmanager
def _told() -> Iterator[None]:
    """python-tuf's errors as ours."""
    from tuf.api import exceptions as tuf
    from tuf.api.serialization import DeserializationError

    try:
        yield
    except TrustError:
        raise
    except tuf.DownloadHTTPError as e:
        raise FileNotFoundError("nothing was published yet, or not all of it") from e
    except tuf.DownloadLengthMismatchError as e:
        raise TrustError("a file of the repository is longer than it may be", str(e), "", "endless") from e
    except tuf.DownloadError as e:
        raise OSError(f"the repository cannot be reached: {e.__cause__ or e}") from e
    except (tuf.RepositoryError, DeserializationError) as e:
        codes = {
            tuf.ExpiredMetadataError: "expired",
            tuf.UnsignedMetadataError: "bad-signature",
            tuf.BadVersionNumberError: "rollback",
            tuf.LengthOrHashMismatchError: "wrong-hash",
        }
        code = next((code for kind, code in codes.items() if isinstance(e, kind)), "malformed")
        raise TrustError("the repository cannot be trusted", f"{type(e).__name__}: {e}", HINTS.get(code, ""), code) from e


HINTS = {
    "expired": "the present model goes on; the repository has to be signed again",
    "bad-signature": "the metadata was changed on its way, or signed with a key that is not valid any more",
    "rollback": "someone replays old messages, or the repository was restored from an old backup",
}
