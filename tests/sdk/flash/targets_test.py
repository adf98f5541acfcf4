"""What a file needs of chips that are not here: `tody info --target`."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from tody import memory
from tody.cli.main import main
from tody.errors import UsageError
from tody.flash import boards
from tody.flash.targets import demands

BOARDS = boards.firmware_folder() / "boards"


def test_a_cpu_has_its_boards(kws: Path) -> None:
    data = kws.read_bytes()
    found, need = demands(data, "cortex-m4"), memory.need(data)
    assert [b["board"] for b in found["boards"]] == ["mps2-an386"] and found["boards"][0]["problems"] == []
    assert (found["arena"], found["scratch"], found["ram"], found["flash"]) == (need.arena, need.scratch, need.ram, len(data))
    assert found["operators"]["conv"] and demands(data, "cortex-m33")["boards"] == []


def test_a_board_by_name_or_file(kws: Path, tmp_path: Path) -> None:
    data = kws.read_bytes()
    one = demands(data, "rp2040")["boards"]
    assert one == demands(data, str(BOARDS / "rp2040" / "board.toml"))["boards"] and one[0]["ram"] == 264 * 1024 - 8192
    folder = tmp_path / "firmware" / "boards" / "tiny"
    folder.mkdir(parents=True)
    text = (BOARDS / "rp2040" / "board.toml").read_text().replace("270336", "9000").replace("913408", "4096")
    (folder / "board.toml").write_text(text)
    (tmp_path / "firmware" / "Makefile").write_text("OPS ?= conv\n")
    problems = demands(data, str(folder / "board.toml"))["boards"][0]["problems"]
    assert len(problems) == 3 and "a slot 4,096" in problems[0] and "has 808 for models" in problems[1]


def test_a_board_outside_of_a_checkout(kws: Path, tmp_path: Path) -> None:
    (tmp_path / "board.toml").write_text((BOARDS / "mps2-an386" / "board.toml").read_text())
    assert demands(kws.read_bytes(), str(tmp_path / "board.toml"))["boards"][0]["problems"] == []
    (tmp_path / "board.toml").write_text("slot_bytes = [")
    for name in ("board.toml", "none.toml"):
        with pytest.raises(UsageError, match="cannot be read"):
            demands(kws.read_bytes(), str(tmp_path / name))


def test_unknown_targets_are_told_what_is_known(kws: Path) -> None:
    with pytest.raises(UsageError, match="no target 'z80'") as e:
        demands(kws.read_bytes(), "z80")
    assert "rp2040" in e.value.why and "cortex-m33" in e.value.why


def test_without_firmware_cpus_are_known(kws: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> list[boards.Board]:
        raise UsageError("not here", "")

    monkeypatch.setattr(boards, "boards", none)
    assert demands(kws.read_bytes(), "cortex-m4")["boards"] == []
    with pytest.raises(UsageError):
        demands(kws.read_bytes(), "rp2040")


def test_info_by_the_command(kws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(kws), "--target", "cortex-m4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["target"]["arena"] == memory.need(kws.read_bytes()).arena
    assert main(["info", str(kws), "--target", "cortex-m4"]) == 0
    text = capsys.readouterr().out
    assert "can hold it" in text and f"{memory.need(kws.read_bytes()).ram:,} bytes" in text
