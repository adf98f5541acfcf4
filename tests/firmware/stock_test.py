"""Devices that speak SMP and do not run tody: a server made of the package smp, over UDP, with images and files."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("smp")

from smp import error, file_management, header, image_management, os_management
from smp.file_management import FS_MGMT_ERR as FileError

from tody.convert import convert
from tody.errors import DeviceError, TrustError
from tody.flash import cbor
from tody.flash.client import Client
from tody.flash.device import Device
from tody.flash.files import FileUpload
from tody.flash.transport import Line

ROOT = Path(__file__).resolve().parents[2]
FILE = "/lfs1/model.tody"


def unsupported(head: Any) -> Any:
    """The answer to a command that is not there."""

    class Unsupported(error.ErrorV1):
        _OP, _GROUP_ID, _COMMAND_ID = header.OP(head.op + 1), head.group_id, head.command_id

    return Unsupported(rc=error.MGMT_ERR.ENOTSUP, sequence=head.sequence)


def refusal(sequence: int, what: FileError) -> Any:
    """An upload's answer with an error of group 8."""

    class Refusal(file_management.FileSystemManagementErrorV2):
        _OP, _COMMAND_ID = header.OP.WRITE_RSP, header.CommandId.FileManagement.FILE_DOWNLOAD_UPLOAD

    return Refusal(err=error.Err(group=header.GroupId.FILE_MANAGEMENT, rc=what), sequence=sequence)


class StockServer(threading.Thread):
    """Echo, parameters, one image, one file.

    Args:
        hashes: make the SHA-256 of the file.
        room: bytes that the file may have.
    """

    def __init__(self, hashes: bool = True, room: int = 1 << 20) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"smp+udp://127.0.0.1:{self.socket.getsockname()[1]}"
        self.image, self.wanted, self.file = b"", 0, bytearray()
        self.hashes, self.room, self.rots = hashes, room, False
        self.known = {
            (0, 6): (None, self.parameters), (1, 0): (None, self.images),
            (1, 1): (image_management.ImageUploadWriteRequest, self.upload), (8, 1): (None, self.status),
            (8, 2): (file_management.FileHashChecksumRequest, self.hash),
        }  # fmt: skip

    def run(self) -> None:
        while True:
            try:
                message, where = self.socket.recvfrom(4096)
            except OSError:
                return
            self.socket.sendto(self.answer(message), where)

    def answer(self, message: bytes) -> bytes:
        head = header.Header.loads(message[:8])
        place = int(head.group_id), int(head.command_id)
        request, make = self.known.get(place, (None, None))
        if place == (8, 0):
            writes = head.op == header.OP.WRITE
            request = file_management.FileUploadRequest if writes else file_management.FileDownloadRequest
            make = self.write if writes else self.read
        made = make(request.loads(message) if request else None, head.sequence) if make else None
        return bytes((made or unsupported(head)).BYTES)

    def parameters(self, request: Any, sequence: int) -> Any:
        return os_management.MCUMgrParametersReadResponse(buf_size=512, buf_count=4, sequence=sequence)

    def images(self, request: Any, sequence: int) -> Any:
        whole = self.wanted and len(self.image) == self.wanted
        sha = hashlib.sha256(self.image).digest()
        found = [image_management.ImageState(slot=0, version="1.0.0", hash=sha)] if whole else []
        return image_management.ImageStatesReadResponse(images=found, sequence=sequence)

    def upload(self, request: Any, sequence: int) -> Any:
        if request.off == 0:
            assert len(request.data) >= 32
            self.image, self.wanted = b"", request.len
        if request.off == len(self.image):
            self.image += request.data
        return image_management.ImageUploadWriteResponse(off=len(self.image), sequence=sequence)

    def write(self, request: Any, sequence: int) -> Any:
        assert request.name == FILE
        if request.off == 0:
            assert request.len
            self.file.clear()
        if request.off != len(self.file):
            return refusal(sequence, FileError.FILE_OFFSET_NOT_VALID)
        if len(self.file) + len(request.data) > self.room:
            return refusal(sequence, FileError.FILE_WRITE_FAILED)
        self.file += request.data
        if self.rots:
            self.file[0] = 0
        return file_management.FileUploadResponse(off=len(self.file), sequence=sequence)

    def read(self, request: Any, sequence: int) -> Any:
        piece, size = bytes(self.file[request.off :][:300]), len(self.file)
        return file_management.FileDownloadResponse(off=request.off, data=piece, len=size, sequence=sequence)

    def status(self, request: Any, sequence: int) -> Any:
        return file_management.FileStatusResponse(len=len(self.file), sequence=sequence)

    def hash(self, request: Any, sequence: int) -> Any:
        if not self.hashes:
            return None
        data = bytes(self.file[: request.len])
        digest = hashlib.sha256(data).digest()
        return file_management.FileHashChecksumResponse(type="sha256", len=len(data), output=digest, sequence=sequence)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    path = tmp_path_factory.mktemp("models") / "door.tody"
    convert(ROOT / "examples" / "data" / "door.onnx", path, force=True)
    return path


def flash(server: StockServer, model: Path, **options: Any) -> Any:
    with Device(server.address) as device:
        return device.flash(str(model), **options)


def served(**how: Any) -> StockServer:
    server = StockServer(**how)
    server.start()
    return server


def test_an_image(model: Path) -> None:
    server = served()
    with pytest.raises(DeviceError, match="does not run tody"):
        flash(server, model)
    assert flash(server, model, any_device=True).state == "uploaded" and server.image == model.read_bytes()
    with Device(server.address) as device:
        (slot,) = device.slots()
        assert slot.sha256 == hashlib.sha256(server.image).digest()


@pytest.mark.parametrize("hashes", [True, False])
def test_a_file(hashes: bool, model: Path) -> None:
    server = served(hashes=hashes)
    server.file += b"what lay there"
    report = flash(server, model, file=FILE)
    assert report.state == "uploaded" and not report.already and server.file == model.read_bytes()
    assert flash(server, model, file=FILE).already


@pytest.mark.parametrize("hashes", [True, False])
def test_a_file_goes_on_where_it_was_cut_off(hashes: bool, model: Path) -> None:
    """Where the device makes no SHA-256, nobody knows what lies there, and it begins anew."""
    server, data = served(hashes=hashes), model.read_bytes()
    server.file += data[:5000]
    report = flash(server, model, file=FILE)
    assert server.file == data and report.resumed == (5000 if hashes else 0)


@pytest.mark.parametrize("hashes", [True, False])
def test_answers_that_were_lost(hashes: bool, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces come again, the last one too, at places that the file has passed: the device is asked how far it is."""
    server, write = served(hashes=hashes), StockServer.write

    def forgetful(self: StockServer, request: Any, sequence: int) -> Any:
        answer = write(self, request, sequence)
        return write(self, request, sequence) if request.off else answer

    monkeypatch.setattr(StockServer, "write", forgetful)
    assert flash(server, model, file=FILE).state == "uploaded" and server.file == model.read_bytes()


def test_a_file_system_without_room(model: Path) -> None:
    server = served(room=3000)
    with pytest.raises(DeviceError, match="the file system does not take more") as end:
        flash(server, model, file=FILE)
    assert end.value.exit_code == 6 and len(server.file) <= 3000


@pytest.mark.parametrize("hashes", [True, False])
def test_a_file_that_rots(hashes: bool, model: Path) -> None:
    server = served(hashes=hashes)
    server.rots = True
    with pytest.raises(TrustError, match="holds other bytes") as end:
        flash(server, model, file=FILE)
    assert end.value.exit_code == 7


def test_no_file_system(model: Path) -> None:
    server = served()
    server.answer = lambda message: bytes(unsupported(header.Header.loads(message[:8])).BYTES)  # type: ignore[method-assign]
    with pytest.raises(Exception, match="does not know this command") as end:
        flash(server, model, file=FILE)
    assert end.value.exit_code == 6
    with Device(server.address) as device:
        assert device.slots() == []


@pytest.mark.parametrize("name", ["/lfs1/model.tody", "/lfs1/" + "x" * 30, "/lfs1/" + "x" * 270])
def test_pieces_fit_into_messages(name: str) -> None:
    client, limit = Client(cast(Line, SimpleNamespace(rate=115200.0))), 1000
    upload = FileUpload(client, bytes(1 << 20), limit, name)
    for at in (64, 1 << 8, 1 << 16, 1 << 19):
        upload.at = at
        assert limit - 8 <= len(cbor.encode(upload._piece()[2])) <= limit


def test_a_name_that_fits_into_no_message(model: Path) -> None:
    with pytest.raises(DeviceError, match="is too long"):
        flash(served(), model, file="/lfs1/" + "x" * 300)
