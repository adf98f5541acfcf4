"""The commands that talk to devices: what they print, and how they fail."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tody.cli.main import main
from tody.errors import UsageError
from tody.flash import address, boards, fake, firmware

Capture = pytest.CaptureFixture[str]


def fails(capsys: Capture, code: int, *arguments: str) -> str:
    assert main(arguments) == code
    text = capsys.readouterr().err
    assert re.match(r"error: .+\n  why: .+\n  try: .+\n", text), text
    return text


def test_flash(kws: Path, capsys: Capture) -> None:
    assert main(["flash", str(kws), "fake://board", "--verify"]) == 0
    assert re.search(r"on board, slot 0: 9.6 KiB in .* on the wire; confirmed, self-test exact", capsys.readouterr().out)
    assert main(["flash", str(kws), "--port", "fake://board", "--no-activate", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["state"] == "ready" and facts["file_bytes"] == kws.stat().st_size


def test_devices(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("serial")
    assert main(["devices", "fake://board", "socket://127.0.0.1:1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "empty; empty" in lines[1] and "refused" in lines[2]
    monkeypatch.setattr(address, "ports", list)
    assert main(["devices", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"devices": []}


def test_wrong_ports(kws: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("serial")
    assert "no such port" in fails(capsys, 6, "flash", str(kws), "/dev/ttyNONE")
    assert "refused" in fails(capsys, 6, "flash", str(kws), "socket://127.0.0.1:1")
    assert "is not an address" in fails(capsys, 2, "flash", str(kws), "garden")
    monkeypatch.setattr(address, "ports", list)
    assert "no serial port" in fails(capsys, 6, "flash", str(kws))
    two = [address.Port(f"/dev/tty{i}", 1, 2, "") for i in "ab"]
    monkeypatch.setattr(address, "ports", lambda: two)
    assert "/dev/ttya, /dev/ttyb" in fails(capsys, 6, "flash", str(kws))


def test_wrong_board(kws: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(fake.FakeDevice):
        def __init__(self, board: str) -> None:
            super().__init__(board)
            self.commands = {k: v for k, v in self.commands.items() if k[0] != 65}

    monkeypatch.setattr(fake, "FakeDevice", Other)
    assert "does not run tody" in fails(capsys, 6, "flash", str(kws), "fake://board")
    assert main(["flash", str(kws), "fake://board", "--yes"]) == 0
    assert "uploaded" in capsys.readouterr().out


def test_too_large(kws: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "SLOT_BYTES", 4096)
    assert "a slot 4,096" in fails(capsys, 5, "flash", str(kws), "fake://board")


def test_what_a_file_does_not_go_with(kws: Path, capsys: Capture) -> None:
    for others in (["fake://board", "--security", "1"], ["ssh://garden"]):
        assert "leave one of them out" in fails(capsys, 2, "flash", str(kws), *others, "--file", "/lfs1/model.tody")


def test_a_file_without_a_name_is_none(kws: Path, capsys: Capture) -> None:
    """As of a script whose variable is empty: nothing goes into a slot instead."""
    assert "it does not know this command" in fails(capsys, 6, "flash", str(kws), "fake://board", "--file", "")


def test_other_model_there(kws: Path, capsys: Capture) -> None:
    for verb in ("run", "profile", "bench"):
        assert "no model runs" in fails(capsys, 2, verb, str(kws), "--on", "fake://board")


@pytest.fixture
def flashed(kws: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every fake://board is one that the model was flashed to."""
    from tody.flash.device import Device

    device = Device("fake://board")
    device.flash(str(kws))
    monkeypatch.setattr(fake, "FakeDevice", lambda board: device.line._device)  # type: ignore[attr-defined]
    return kws


def test_run_profile_bench_there(flashed: Path, capsys: Capture) -> None:
    def told(*arguments: str) -> dict[str, object]:
        assert main([*arguments, "--json"]) == 0
        return dict(json.loads(capsys.readouterr().out))

    here, there = (told("run", str(flashed), *on) for on in ((), ("--on", "fake://board")))
    assert here["outputs"] == there["outputs"]
    profile = told("profile", str(flashed), "--on", "fake://board", "--top", "2")
    assert profile["board"] == "board" and len(profile["operators"]) == 2  # type: ignore[arg-type]
    assert told("bench", str(flashed), "--on", "fake://board", "--seconds", "0.01")["runs"] >= 1  # type: ignore[operator]
    assert main(["profile", str(flashed), "--on", "fake://board"]) == 0 and "on board" in capsys.readouterr().out
    assert main(["run", str(flashed), "--on", "fake://board"]) == 0
    assert re.match(r".*, int8, on board, .* kernels\n", capsys.readouterr().out)
    assert main(["bench", str(flashed), "--on", "fake://board", "--seconds", "0.01"]) == 0
    assert main(["logs", "fake://board", "--seconds", "0.01"]) == 0


def test_firmware(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["firmware", "list"]) == 0
    assert "mps2-an386" in capsys.readouterr().out
    assert "known are" in fails(capsys, 2, "firmware", "build", "toaster")
    with pytest.raises(UsageError, match=r"(?s)board\.tty.*tcp:"):
        firmware.emulator(boards.find("mps2-an386"), tmp_path / "flash", "board.tty")
    assert "needs its name" in fails(capsys, 2, "firmware", "build")
    monkeypatch.setattr(boards, "firmware_folder", lambda: tmp_path)
    assert "known are" in fails(capsys, 2, "firmware", "build", "host")


def test_programming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tody.errors import DeviceError, UsageError

    def board(program: str) -> boards.Board:
        return boards.Board("b", "", "", (), "", program, tmp_path / "firmware")

    board("").build.mkdir(parents=True)
    elf = board("").build / "tody.elf"
    elf.with_suffix(".uf2").write_bytes(b"uf2")
    (tmp_path / "volume").mkdir()
    firmware.program(board("uf2"), str(tmp_path / "volume"))
    assert (tmp_path / "volume" / "tody.uf2").read_bytes() == b"uf2"
    monkeypatch.setattr(firmware, "_UF2_VOLUMES", (str(tmp_path),))
    with pytest.raises(DeviceError, match="BOOTSEL"):
        firmware.program(board("uf2"))
    (tmp_path / "volume" / "INFO_UF2.TXT").write_text("here")
    assert "copied" in firmware.program(board("uf2"))
    firmware.program(board("cp {elf}.in {elf}.out") if elf.with_name("tody.elf.in").write_text("x") else board(""))
    assert elf.with_name("tody.elf.out").exists()
    for program, error in (("", UsageError), ("no-such-tool {elf}", UsageError), ("false", DeviceError)):
        with pytest.raises(error):
            firmware.program(board(program))


def test_ctrl_c_says_what_happens_to_the_upload(kws: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: object, stage: str, done: int, total: int) -> None:
        if stage == "upload":
            raise KeyboardInterrupt

    monkeypatch.setattr("tody.cli.output.Stages.__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main(["flash", str(kws), "fake://board"])
    assert "goes on where this one was cut off" in capsys.readouterr().err
