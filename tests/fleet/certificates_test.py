"""Certificates: who gets which, what they can be used for, and what a device believes of a broker."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("tuf")
pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from cryptography import x509
from secure import ask, broker, device_link, enrol, make_fleet

from patience import PATIENCE
from tody.errors import DeviceError, TrustError, UsageError
from tody.fleet import enroll
from tody.fleet.address import Address
from tody.fleet.broker.broker import issue_identity
from tody.fleet.broker.certificates import Authority, common_name
from tody.fleet.device.identity import load_device
from tody.fleet.enroll import Enrolment, accept, admit, request
from tody.fleet.laptop.laptop import Laptop
from tody.fleet.mqtt import Link

HOSTILE = [
    "",
    "Door",
    "laptop",
    "watch",
    "keeper",
    "dashboard",
    "dashboard-2",
    "tody-check-1",
    "../door",
    "door/..",
    "+",
    "#",
    "door\n",
]
HOSTILE += ["door/CN=laptop", "d\u00f6r", "a" * 64, "-door", "%u", "door\0laptop", "$SYS"]


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    return make_fleet(tmp_path_factory.mktemp("fleet"))


@pytest.fixture
def authority(laptop: Laptop) -> Authority:
    return Authority(laptop.authority, ask)


def loaded(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def test_a_certificate_says_who_and_until_when(authority: Authority) -> None:
    certificate = loaded(authority.issue("door", 30)[0])
    now = datetime.now(timezone.utc)
    assert common_name(authority.issue("door")[0]) == "door"
    assert certificate.not_valid_before_utc.year == 2020
    assert timedelta(days=29) < certificate.not_valid_after_utc - now < timedelta(days=31)
    certificate.verify_directly_issued_by(loaded(authority.certificate))
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_server_has_every_name_that_it_is_reached_by(authority: Authority) -> None:
    certificate = loaded(authority.issue_server(["broker.local", "192.168.1.5", "::1"])[0])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["broker.local"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.168.1.5", "::1"]
    for host in ("", "a b", "https://x", "x" * 80, "h\u00f6st", "*.example", "a..b"):
        with pytest.raises(UsageError):
            authority.issue_server([host])


def test_the_key_of_the_authority_is_encrypted(laptop: Laptop, tmp_path: Path) -> None:
    assert b"ENCRYPTED" in (laptop.authority / "ca.key").read_bytes()
    assert (laptop.authority / "ca.key").stat().st_mode & 0o77 == 0
    with pytest.raises(TrustError) as caught:
        Authority(laptop.authority, lambda purpose: "wrong").issue("door")
    assert caught.value.code == "passphrase"
    with pytest.raises(UsageError, match="passphrase"):
        Authority(tmp_path / "new", lambda purpose: "").create("home")
    assert not Authority(tmp_path / "new", ask).exists
    with pytest.raises(UsageError, match="already"):
        Authority(laptop.authority, ask).create("home")


def test_revoked_is_every_certificate_of_a_name(authority: Authority) -> None:
    serials = {loaded(authority.issue("gate")[0]).serial_number for _ in range(2)}
    other = loaded(authority.issue("shed")[0]).serial_number
    assert authority.revoke("gate") == 2 and authority.revoke("gate") == 0
    crl = x509.load_pem_x509_crl(authority.revoked)
    assert serials <= {entry.serial_number for entry in crl} and crl.get_revoked_certificate_by_serial_number(other) is None
    assert crl.next_update_utc == loaded(authority.certificate).not_valid_after_utc  # one that ran out would lock out everybody
    assert crl.is_signature_valid(loaded(authority.certificate).public_key())


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_no_device_may_have(name: str, laptop: Laptop, authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        request(tmp_path, name)
    with pytest.raises(UsageError):
        admit(laptop, authority, b"{}", name, "garden", b"", 1)
    assert name not in laptop.devices


def request_of(common: str, curve: str = "P-256", extra: bool = False) -> bytes:
    """A certificate request by openssl."""
    command = [
        "openssl",
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        f"ec_paramgen_curve:{curve}",
        "-nodes",
        "-keyout",
        "/dev/null",
    ]
    command += ["-addext", "basicConstraints=CA:TRUE", "-addext", "subjectAltName=DNS:broker.local"] if extra else []
    return subprocess.run([*command, "-subj", common], capture_output=True, check=True).stdout


def test_of_a_request_only_the_key_counts(authority: Authority) -> None:
    certificate = loaded(authority.sign(request_of("/CN=door", extra=True), "door"))
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda sound: b"",
        lambda sound: b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        lambda sound: sound[:-60] + b"A" * 20 + sound[-40:],
        lambda sound: sound + b"x" * 20000,
        lambda sound: request_of("/CN=laptop"),
        lambda sound: request_of("/CN=door/CN=laptop"),
        lambda sound: request_of("/O=door"),
        lambda sound: request_of("/CN=door", "P-384"),
    ],
)
def test_requests_that_are_not_signed(spoilt: Callable[[bytes], bytes], authority: Authority, tmp_path: Path) -> None:
    sound = request(tmp_path, "door")
    assert authority.sign(sound, "door")
    with pytest.raises(TrustError):
        authority.sign(spoilt(sound), "door")


def test_a_device_is_enrolled(laptop: Laptop, tmp_path: Path) -> None:
    identity = enrol(laptop, tmp_path / "door")
    who = load_device(tmp_path / "door")
    assert (who.fleet, who.device, who.group, who.broker) == ("home", "door", "garden", laptop.broker)
    assert Laptop.load(laptop.folder).devices["door"] == "garden"
    assert (identity / "tody.key").stat().st_mode & 0o77 == 0
    key = (identity / "tody.key").read_bytes()
    enrol(laptop, tmp_path / "door")  # renewed, with the same key
    assert (identity / "tody.key").read_bytes() == key


def test_without_the_package_openssl_makes_the_request(laptop: Laptop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enroll, "_maker", enroll._Program)
    enrol(laptop, tmp_path / "pi", "pi")
    monkeypatch.setattr(enroll, "_maker", enroll._Package)
    enrol(laptop, tmp_path / "pi", "pi")  # the same key will do
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImportError, match="openssl"):
        enroll._Program().key()


def test_an_enrolment_of_another_device_is_refused(laptop: Laptop, authority: Authority, tmp_path: Path) -> None:
    root = laptop.repository(ask).root
    enrol(laptop, tmp_path / "door")
    before = {path.name: path.read_bytes() for path in (tmp_path / "door/id").iterdir()}
    other = admit(laptop, authority, root, "gate", "garden", request(tmp_path / "gate", "gate"), 1)
    with pytest.raises(UsageError, match="another device"):
        accept(tmp_path / "door", other.encode())
    stolen = Enrolment(load_device(tmp_path / "door"), other.root, other.authority, other.certificate)
    with pytest.raises(TrustError) as caught:
        accept(tmp_path / "door", stolen.encode())
    assert caught.value.code == "wrong-key"
    with pytest.raises(UsageError, match="not there"):
        accept(tmp_path / "empty", other.encode())
    with pytest.raises(UsageError, match="not of shed"):
        accept(tmp_path / "gate", other.encode(), "shed")
    assert {path.name: path.read_bytes() for path in (tmp_path / "door/id").iterdir()} == before


def test_enrolments_that_are_not_sound(laptop: Laptop, authority: Authority, tmp_path: Path) -> None:
    root = laptop.repository(ask).root
    sound = json.loads(admit(laptop, authority, root, "door", "garden", request(tmp_path, "door"), 1).encode())
    changes = [
        {"format": "tody enrolment 2"}, {"fleet": "../x"}, {"device": "laptop"}, {"device": 5}, {"group": ""}, {"root": "{}"},
        {"root": sound["root"].replace("targets", "tarGets", 1)}, {"root": ""}, {"certificate": "x"}, {"authority": "x"},
        {"broker": "mqtt://example.org"}, {"broker": "mqtts://["}, {"broker": 7}, {"more": "x"}, {"root": "x" * 300000},
    ]  # fmt: skip
    spoilt = [json.dumps({**sound, **change}).encode() for change in changes]
    spoilt += [json.dumps({k: v for k, v in sound.items() if k != key}).encode() for key in sound if key not in ("authority",)]
    for content in [*spoilt, b"", b"[]", b"null", b"[" * 100000, b"\xff"]:
        with pytest.raises((TrustError, UsageError)):
            accept(tmp_path, content)
        assert not (tmp_path / "id/device.json").exists() and not (tmp_path / "id/root.json").exists()
    accept(tmp_path, json.dumps(sound).encode())


def test_admission_needs_a_group_and_a_broker(laptop: Laptop, authority: Authority) -> None:
    with pytest.raises(UsageError, match="no group"):
        admit(laptop, authority, b"{}", "door", "roof", b"", 1)
    with pytest.raises(UsageError, match="no broker"):
        admit(Laptop(laptop.folder, "home", groups={"garden": {}}), authority, b"{}", "door", "garden", b"", 1)


def test_a_broker_of_another_name_is_not_believed(tmp_path: Path) -> None:
    laptop = make_fleet(tmp_path / "fleet", ("broker.local",))
    enrol(laptop, tmp_path / "door")
    port = laptop.broker.rpartition(":")[2]
    with broker(laptop):
        who = load_device(tmp_path / "door")
        right = Address.parse(f"mqtts://localhost:{port}", tmp_path / "door/id")
        assert right.context() is not None
        with Link(right, "door", who.topics.up("door", "probe")) as link:
            assert link.is_connected
        wrong = Address.parse(f"mqtts://127.0.0.2:{port}", tmp_path / "door/id")
        with pytest.raises(DeviceError, match="not the fleet's"):
            Link(wrong, "door", who.topics.up("door", "probe")).__enter__()


def test_a_device_cannot_play_the_broker(laptop: Laptop, tmp_path: Path) -> None:
    """A stolen device's certificate is signed by the same authority, and must not do as a server's."""
    enrol(laptop, tmp_path / "door")
    thief = tmp_path / "thief"
    issue_identity(Authority(laptop.authority, ask), "gate", thief)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(thief / "tody.crt", thief / "tody.key")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            sock, _ = server.accept()
            with pytest.raises((ssl.SSLError, OSError)):
                context.wrap_socket(sock, server_side=True).recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        address = Address("127.0.0.1", server.getsockname()[1], device_link(tmp_path / "door").address.tls)
        with pytest.raises(DeviceError, match="not the fleet's"):
            Link(address, "door", "x").__enter__()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.mark.parametrize("url", ["mqtt://127.evil.com", "mqtt://localhost.evil.com", "mqtts://[", "mqtt://0.0.0.0"])
def test_hosts_that_only_look_local(url: str) -> None:
    with pytest.raises(UsageError):
        Address.parse(url)
