"""A folder of signing keys, each encrypted with a passphrase. Lives on the laptop; a device never has one."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import MissingExtraError, TrustError, UsageError
from ..disk import FolderDisk, put

Signer = Any  # securesystemslib.signer.CryptoSigner
NEW = "a passphrase for the new "  # begins the question for one that is not there yet
_NEW, _OPEN = f"{NEW}keys", "the passphrase of the keys"


class Keyring:
    """The keys in a folder, by name: `root-1`, `targets-1`, `g-garden`, `online`, ...

    Args:
        folder: made if it is not there; only its owner may read it.
        passphrase: called once, with what to ask for, when a key has to be opened or made.
    """

    def __init__(self, folder: Path, passphrase: Callable[[str], str]) -> None:
        self.folder = folder
        self._disk = FolderDisk(folder)
        self._ask, self._known = passphrase, b""

    def names(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.pem"))

    def create(self, name: str) -> Signer:
        """A new Ed25519 key.

        Raises:
            UsageError: there is one of that name, or the passphrase is empty.
            MissingExtraError: the package cryptography is not installed.
        """
        signing = _signing()
        path = self.folder / f"{name}.pem"
        if path.exists():
            raise UsageError(f"there is a key {name} already", str(path), "tody keys rotate replaces it")
        if not self._known and self.names():
            self.signer(self.names()[0])  # one passphrase for all: a slip would show only when the key is needed
        private = signing.Ed25519PrivateKey.generate()
        encryption = signing.serialization.BestAvailableEncryption(self._passphrase(_NEW))
        formats = signing.serialization.Encoding.PEM, signing.serialization.PrivateFormat.PKCS8
        put(self._disk, path.name, [private.private_bytes(*formats, encryption)])
        return signing.signer(private)

    def signer(self, name: str) -> Signer:
        """The key of that name.

        Raises:
            UsageError: it is not here.
            TrustError: the passphrase does not open it (code passphrase).
            MissingExtraError: the package cryptography is not installed.
        """
        signing = _signing()
        path = self.folder / f"{name}.pem"
        if not path.is_file():
            there = ", ".join(self.names()) or "none"
            raise UsageError(f"the key {name} is not here", f"{self.folder} has {there}", "bring the file")
        passphrase = self._passphrase(_OPEN)
        try:
            private = signing.serialization.load_pem_private_key(path.read_bytes(), passphrase)
        except (ValueError, TypeError) as e:
            self._known = b""
            why = "the passphrase is wrong, or the file is damaged"
            raise TrustError(f"the key {name} does not open", why, "", "passphrase") from e
        return signing.signer(private)

    def replace(self, name: str, by: str) -> None:
        """Give a key the name of another one, whose file is kept as `<name>.<time>.old`."""
        path = self.folder / f"{name}.pem"
        if path.exists():
            path.rename(path.with_suffix(f".{time.time_ns()}.old"))
        self._disk.rename(f"{by}.pem", path.name)
        self._disk.sync_folder(".")

    def _passphrase(self, purpose: str) -> bytes:
        if not self._known:
            self._known = self._ask(purpose).encode()
        if not self._known:
            raise UsageError("the passphrase is empty", "whoever finds the files could sign", "choose one")
        return self._known


def passphrase_from_environment(purpose: str) -> str:
    """What TODY_PASSPHRASE holds, or else what the user types: a new one twice.

    Raises:
        UsageError: nobody is there to type, or the two are not equal.
    """
    if "TODY_PASSPHRASE" in os.environ:
        return os.environ["TODY_PASSPHRASE"]
    from getpass import getpass

    if not sys.stdin.isatty():
        raise UsageError("a passphrase is needed", "there is no terminal to ask", "TODY_PASSPHRASE, or --passphrase-file")
    typed = getpass(f"{purpose}: ")
    if purpose.startswith(NEW) and getpass("again: ") != typed:
        raise UsageError("the two passphrases are not equal", "one of them was mistyped", "try again")
    return typed


class _signing:
    """What of the package cryptography is needed, imported late: a device works without it."""

    def __init__(self) -> None:
        try:
            import securesystemslib.signer
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        except ImportError as e:
            raise MissingExtraError(e.name or "cryptography", "keys") from e
        self.serialization, self.Ed25519PrivateKey = serialization, Ed25519PrivateKey
        self.signer: Any = vars(securesystemslib.signer)["CryptoSigner"]
