"""A device joins a fleet: it makes its key, the laptop signs its request, and one file takes everything else to the device.

    device   request   its key, made once and never sent, and a certificate request
    laptop   admit     signs it, and writes the enrolment: who the device is, whom it trusts, where the broker is
    device   accept    proves the enrolment and installs it

The enrolment holds no secret, but whoever can change it on its way becomes the device's master: carry it yourself, or over ssh.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import DeviceError, MissingExtraError, TrustError, UsageError
from .address import AUTHORITY, CERTIFICATE, KEY, Address
from .device.identity import FILE, IDENTITY, Device, load_device, save_device
from .disk import FolderDisk, put
from .documents import name

if TYPE_CHECKING:  # the laptop's side; a device has neither
    from .broker.certificates import Authority
    from .laptop.laptop import Laptop

FORMAT = "tody enrolment 1"
MOST_BYTES = 256 << 10
# Names of clients that are no devices: a device of such a name would have its rights. So are "dashboard-..." and "tody-...".
SERVICES = ("laptop", "watch", "page", "keeper", "dashboard", "homeassistant", "telegraf")


@dataclass(frozen=True)
class Enrolment:
    """Everything that a device gets from its fleet.

    Attributes:
        device: its names, and the broker's URL.
        root: TUF root metadata, JSON.
        authority, certificate: PEM; both empty for a broker without TLS, which must be on the device itself.
    """

    device: Device
    root: str
    authority: str = ""
    certificate: str = ""

    def encode(self) -> bytes:
        facts = {"format": FORMAT, **asdict(self.device), "root": self.root}
        facts |= {"authority": self.authority, "certificate": self.certificate}
        return json.dumps(facts, indent=1).encode() + b"\n"

    @staticmethod
    def parse(content: bytes) -> Enrolment:
        """An enrolment; its values are texts of a sound length, and its names are names.

        Raises:
            TrustError: it is not sound (code malformed).
        """
        try:
            if len(content) > MOST_BYTES:
                raise ValueError(f"it is longer than {MOST_BYTES} bytes")
            facts = json.loads(content)
            if facts.pop("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT!r}")
            if wrong := [key for key, value in facts.items() if not isinstance(value, str)]:
                raise ValueError(f"{', '.join(wrong)[:80]} is no text")
            fleet, device, group = (name(facts.pop(key)) for key in ("fleet", "device", "group"))
            return Enrolment(Device(fleet, device_name(device), group, facts.pop("broker")), **facts)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
            why = f"{type(e).__name__}: {str(e)[:200]}"
            raise TrustError("the enrolment is not sound", why, "make it again: tody enroll DEVICE", "malformed") from e


def is_service(client: str) -> bool:
    """Whether a name belongs to what is no device."""
    return client in SERVICES or client.startswith(("dashboard-", "tody-"))


def device_name(text: str) -> str:
    """The name, if a device may have it.

    Raises:
        UsageError: it is none, or one of those that are not for devices.
    """
    try:
        if is_service(name(text)):
            raise ValueError(f"{text} is the name of a service, and has its rights")
    except ValueError as e:
        raise UsageError(f"a device cannot be called {text!r}", str(e), "door, or door-2") from e
    return text


def admit(laptop: Laptop, authority: Authority, root: bytes, device: str, group: str, request: bytes, days: float) -> Enrolment:
    """Take a device into a group: sign its request, note it in the fleet's folder. Again, it renews or moves it.

    Args:
        root: the fleet's root metadata.
        request: PKCS#10, PEM, made on the device by `request`; empty: the broker has no TLS, and wants no certificate.

    Raises:
        UsageError: a name is none, or there is no such group or broker.
        TrustError: the request is not sound or not of that device, or the passphrase is wrong.
    """
    device_name(device)
    if group not in laptop.groups:
        there = ", ".join(sorted(laptop.groups)) or "none"
        raise UsageError(f"there is no group {group}", f"the fleet {laptop.fleet} has {there}", f"tody keys add {group}")
    if not laptop.broker:
        raise UsageError(f"the fleet {laptop.fleet} has no broker", "a device must know where it is", "tody broker init")
    who = Device(laptop.fleet, device, group, laptop.broker)
    certificates = (authority.certificate.decode(), authority.sign(request, device, days).decode()) if request else ("", "")
    laptop.devices[device] = group
    laptop.save()
    return Enrolment(who, root.decode(), *certificates)


def request(store: Path, device: str) -> bytes:
    """The device's certificate request, PEM. Its key is made the first time, and stays in `id/tody.key`.

    Raises:
        UsageError: the name is none.
        DeviceError: the key that is there is damaged.
        MissingExtraError: there is neither the package cryptography nor the program openssl.
    """
    device_name(device)
    disk = FolderDisk(store)
    disk.make_folder(IDENTITY)
    path = store / IDENTITY / KEY
    maker = _maker()
    if not path.is_file():
        put(disk, f"{IDENTITY}/{KEY}", [maker.key()])
    try:
        return maker.request(path.read_bytes(), device)
    except ValueError as e:
        raise DeviceError(f"{path} is damaged", str(e), "remove it, and enrol the device with a new key") from e


def accept(store: Path, content: bytes, device: str | None = None) -> Enrolment:
    """Install an enrolment once everything in it has been proved. One that is there is replaced only by one of the same device.

    Args:
        device: whose enrolment it has to be, if the caller knows.

    Raises:
        TrustError: it is not sound, or not for this device: the certificate is not for its key.
        UsageError: the device belongs to another fleet, or it has no key yet.
    """
    enrolment = Enrolment.parse(content)
    if device not in (None, enrolment.device.device):
        raise UsageError(
            f"the enrolment is of {enrolment.device.device}, not of {device}",
            "each device has a file of its own",
            "name the right file",
        )
    _prove_root(enrolment.root.encode())
    if (store / IDENTITY / FILE).is_file():
        now = load_device(store)
        if (now.fleet, now.device) != (enrolment.device.fleet, enrolment.device.device):
            why = f"it is {now.device} of {now.fleet}, and remembers what it has seen there"
            raise UsageError(f"{store} belongs to another device or fleet", why, "name a new folder with --store")
    files = {AUTHORITY: enrolment.authority.encode(), CERTIFICATE: enrolment.certificate.encode()}
    _prove_certificate(store / IDENTITY / KEY, enrolment, files)
    disk = FolderDisk(store)
    disk.make_folder(IDENTITY)
    for file, pem in files.items():
        if pem:
            put(disk, f"{IDENTITY}/{file}", [pem])
    save_device(store, enrolment.device, enrolment.root.encode())
    return enrolment


def _prove_certificate(key: Path, enrolment: Enrolment, files: dict[str, bytes]) -> None:
    """See that the device could connect with these files: they are tried where nobody looks for them."""
    if any(files.values()) and not key.is_file():
        raise UsageError(f"{key} is not there", "the certificate belongs to a key that was made here", "tody enroll --request")
    with tempfile.TemporaryDirectory() as folder:
        for file, pem in files.items():
            if pem:
                Path(folder, file).write_bytes(pem)
        if any(files.values()):
            shutil.copyfile(key, Path(folder, KEY))
        try:
            Address.parse(enrolment.device.broker, Path(folder)).context()
        except DeviceError as e:
            why = f"{e.why}; is it the enrolment of another device?"
            raise TrustError("the certificate does not fit this device's key", why, "tody enroll --request", "wrong-key") from e


def _prove_root(root: bytes) -> None:
    """A root that is not signed by itself would be found out only by the first update."""
    try:
        from tuf.api.exceptions import RepositoryError
        from tuf.api.metadata import Metadata
        from tuf.api.serialization import DeserializationError
    except ImportError as e:
        raise MissingExtraError("tuf", "fleet") from e
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(root)
        metadata.signed.verify_delegate("root", metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, DeserializationError, ValueError, AttributeError) as e:
        raise TrustError("the enrolment's root is not sound", str(e)[:200], "make it again", "bad-signature") from e


class _Maker(Protocol):
    """Makes keys and requests, PEM."""

    def key(self) -> bytes: ...
    def request(self, key: bytes, common: str) -> bytes: ...


class _Package:
    """By the package cryptography."""

    def __init__(self) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        self._x509, self._serialization, self._ec, self._hash = x509, serialization, ec, hashes.SHA256()

    def key(self) -> bytes:
        s, key = self._serialization, self._ec.generate_private_key(self._ec.SECP256R1())
        return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())

    def request(self, key: bytes, common: str) -> bytes:
        private: Any = self._serialization.load_pem_private_key(key, None)
        subject = self._x509.Name([self._x509.NameAttribute(self._x509.NameOID.COMMON_NAME, common)])
        made = self._x509.CertificateSigningRequestBuilder().subject_name(subject).sign(private, self._hash)
        return made.public_bytes(self._serialization.Encoding.PEM)


class _Program:
    """By the program openssl, for devices that the package has no wheel for."""

    def key(self) -> bytes:
        return self._run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")

    def request(self, key: bytes, common: str) -> bytes:
        return self._run("req", "-new", "-sha256", "-subj", f"/CN={common}", "-key", "/dev/stdin", content=key)

    def _run(self, *arguments: str, content: bytes = b"") -> bytes:
        try:
            done = subprocess.run(["openssl", *arguments], input=content, capture_output=True, timeout=60)
        except FileNotFoundError as e:
            raise MissingExtraError("cryptography, or the program openssl,", "keys") from e
        except subprocess.TimeoutExpired as e:
            raise DeviceError("openssl does not come to an end", str(e), "try it again") from e
        if done.returncode:
            why = done.stderr.decode(errors="replace").strip()[-200:]
            raise DeviceError("openssl cannot make the request", why, "is id/tody.key damaged? remove it, and ask again")
        return done.stdout


def _maker() -> _Maker:
    try:
        return _Package()
    except ImportError:
        return _Program()
