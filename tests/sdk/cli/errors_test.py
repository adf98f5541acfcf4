"""Everything that goes wrong: three lines, the right exit code, nothing written, no traceback, the same as JSON."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ast
import errno
import json
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tody
from patience import PATIENCE
from tody import errors, format
from tody.cli.main import main

Capture = pytest.CaptureFixture[str]
SOURCE = Path(__file__).parents[3] / "examples/data/door.onnx"


def fails(capsys: Capture, code: int, *arguments: str) -> str:
    """Run a command that must fail; returns what it said. Also asks for the same as JSON."""
    assert main(arguments) == code
    text = capsys.readouterr().err
    lines = text.splitlines()
    assert lines[0].startswith("error: ") and len(lines) >= 3, text
    assert lines[1].startswith("  why: ") and lines[2].startswith("  try: "), text
    assert "Traceback" not in text
    assert main([*arguments, "--json"]) == code
    facts = json.loads(capsys.readouterr().err)
    assert facts["exit_code"] == code and facts["what"] and set(facts) >= {"error", "what", "why", "try"}
    return text


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["detect"],
        ["convert"],
        ["info", "m.tody", "another.tody"],
        ["info", "m.tody", "--label"],
        ["detect", "m.tody", "0", "--score", "2"],
        ["detect", "m.tody", "0", "--camera-size", "0x480"],
        ["detect", "m.tody", "0", "--fps", "nan"],
        ["detect", "m.tody", "0", "--web", "8080"],
        ["detect", "m.tody", "0", "--web", "localhost"],
        ["run", "m.tody", "--threads", "0"],
        ["bench", "m.tody", "--seconds", "nan"],
        ["convert", "m.onnx", "--mean", "nan"],
        ["convert", "m.onnx", "--tolerance", "-1"],
    ],
)
def test_usage(capsys: Capture, arguments: list[str]) -> None:
    assert "--help" in fails(capsys, 2, *arguments)


def test_unknown_words_name_the_command(capsys: Capture) -> None:
    assert "try: tody info --help" in fails(capsys, 2, "info", "m.tody", "another.tody")


def test_missing_model_and_source(capsys: Capture, tmp_path: Path) -> None:
    missing = str(tmp_path / "no.tody")
    for verb in (["info", missing], ["run", missing], ["check", missing], ["bench", missing], ["profile", missing]):
        assert "no.tody" in fails(capsys, 2, *verb)
    assert "no.onnx" in fails(capsys, 2, "convert", str(tmp_path / "no.onnx"))
    assert "no.onnx" in fails(capsys, 2, "check", str(tmp_path / "no.onnx"))


def test_model_of_the_catalogue_that_is_not_here(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TODY_CACHE", str(tmp_path))
    assert "tody models get centerface" in fails(capsys, 2, "detect", "centerface", "fake://door")


def test_missing_camera(capsys: Capture, door: Path) -> None:
    pytest.importorskip("cv2")
    for source in ("63", "/dev/video63", "nowhere.mp4", "rtsp://127.0.0.1:9/x", "csi://9", "fake://nothing", "ftp://x"):
        fails(capsys, 9, "detect", str(door), source)


def test_truncated_picture_empty_folder(capsys: Capture, door: Path, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    whole = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty").mkdir()
    assert "cut off" in fails(capsys, 9, "detect", str(door), str(tmp_path / "half.jpg"))
    assert "no picture" in fails(capsys, 9, "detect", str(door), str(tmp_path / "empty"))


def test_stream_that_is_unplugged(capsys: Capture, door: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as somebody was seen on it."""
    pytest.importorskip("cv2")
    from tody.camera import Camera, Screen
    from tody.cli.output import Output

    told = threading.Event()

    def watched(says: Any, as_json: bool) -> Any:
        def watching(self: Output, what: Any) -> None:
            says(self, what)
            if self.as_json == as_json and "person" in str(what):
                told.set()

        return watching

    monkeypatch.setattr(Output, "line", watched(Output.line, False))
    monkeypatch.setattr(Output, "data", watched(Output.data, True))

    def serve() -> None:
        with Camera("fake://door?frames=0&live=1&fps=50") as camera:
            for frame in camera:
                screen.show(frame)
                if told.is_set() or time.monotonic() > end:
                    break
        screen.close()

    for arguments in ([], ["--json"]):
        told.clear()
        screen, end = Screen("http://127.0.0.1:0"), time.monotonic() + PATIENCE
        server = threading.Thread(target=serve)
        server.start()
        assert main(["detect", str(door), screen.url + "stream", *arguments]) == 9
        server.join()
        said = capsys.readouterr()
        assert "person" in said.out, "nothing was detected before the end"
        if arguments:
            assert json.loads(said.err)["exit_code"] == 9
        else:
            error = said.err[said.err.index("error: ") :].splitlines()
            assert len(error) == 3 and ("unplugged" in said.err or "no frame came" in said.err)


@pytest.mark.parametrize("change", ["major", "minor", "half", "empty", "text", "weights"])
def test_model_that_is_damaged_or_of_another_version(capsys: Capture, door: Path, tmp_path: Path, change: str) -> None:
    data = bytearray(door.read_bytes())
    if change in ("major", "minor"):
        from tody.format import MAJOR, MINOR

        at, known = (4, MAJOR) if change == "major" else (6, MINOR)
        data[at] = known + 1
    elif change == "weights":
        from tody.format import read_header

        data[read_header(bytes(data)).weights_at] ^= 1
    else:
        data = {"half": data[: len(data) // 2], "empty": bytearray(), "text": bytearray(b"hello" * 100)}[change]
    path = tmp_path / "bad.tody"
    path.write_bytes(data)
    assert "bad.tody" in fails(capsys, 2, "check", str(path))
    if change != "weights":
        fails(capsys, 2, "detect", str(path), "fake://door")
        fails(capsys, 2, "info", str(path))


def test_wrong_inputs(capsys: Capture, door: Path, tmp_path: Path) -> None:
    for name, array in (("shape", np.zeros((1, 3, 9, 9), np.float32)), ("dtype", np.zeros((1, 3, 96, 128), np.complex64))):
        np.save(tmp_path / f"{name}.npy", array)
        assert "'image'" in fails(capsys, 2, "run", str(door), "--input", str(tmp_path / f"{name}.npy"))
    assert "nothing" in fails(capsys, 2, "run", str(door), "--input", f"nothing={tmp_path / 'shape.npy'}")
    (tmp_path / "bad.npy").write_text("no array")
    fails(capsys, 2, "run", str(door), "--input", str(tmp_path / "bad.npy"))


def test_a_disk_that_is_full(capsys: Capture, door: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    assert "No space" in fails(capsys, 2, "run", str(door), "--output", str(tmp_path))


def test_json_has_no_nan(capsys: Capture, door: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "nan.npy", np.full((1, 3, 96, 128), np.nan, np.float32))
    assert main(["run", str(door), "--input", str(tmp_path / "nan.npy"), "--json"]) == 0

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    facts = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert facts["outputs"][0]["mean"] is None


@pytest.mark.parametrize("value", [None, 5, "x", [None], [[]], {"name": [1]}])
def test_info_shows_any_metadata_and_no_control_characters(capsys: Capture, door: Path, tmp_path: Path, value: object) -> None:
    file = format.read(door.read_bytes())
    for key in ("inputs", "outputs", "preprocess", "decoder", "labels", "provenance", "licence", "score"):
        file.meta = {**format.read(door.read_bytes()).meta, key: value, "name": "\x1b[2Jdoor"}
        (tmp_path / "odd.tody").write_bytes(format.write(file))
        assert main(["info", str(tmp_path / "odd.tody")]) == 0, key
        said = capsys.readouterr().out
        assert "\x1b" not in said and "[2Jdoor" in said


def test_the_source_is_not_overwritten(capsys: Capture, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "door.onnx").write_bytes(SOURCE.read_bytes())
    (tmp_path / "link.tody").symlink_to(tmp_path / "door.onnx")
    for target in ("door.onnx", "link.tody"):
        fails(capsys, 2, "convert", str(tmp_path / "door.onnx"), "-o", str(tmp_path / target), "--no-verify")
    assert (tmp_path / "door.onnx").read_bytes() == SOURCE.read_bytes()


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file_is_neither_read_nor_replaced(capsys: Capture, tmp_path: Path, kind: str) -> None:
    """A pipe would be waited for, a device read without end; and root could replace it."""
    pytest.importorskip("onnx")
    path = tmp_path / "odd"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    for verb in ("info", "run", "check", "bench", "convert"):
        assert "odd" in fails(capsys, 2, verb, str(path))
    with pytest.raises(errors.UsageError):
        tody.load(path)
    before = os.stat(path).st_ino
    fails(capsys, 2, "convert", str(SOURCE), "-o", str(path), "--no-verify")
    assert os.stat(path).st_ino == before


@pytest.mark.parametrize("decoder", ["yolox", "ssd", "nanodet", "classify"])
def test_a_decoder_that_does_not_fit_is_refused_and_nothing_is_written(capsys: Capture, tmp_path: Path, decoder: str) -> None:
    pytest.importorskip("onnx")
    target = tmp_path / "door.tody"
    picture = ["--pixels", "bgr", "--mean", "0", "--std", "1"]
    fails(capsys, 2, "convert", str(SOURCE), "-o", str(target), "--decoder", decoder, *picture)
    assert not target.exists()


def test_made_up_inputs_that_prove_nothing(capsys: Capture, tmp_path: Path) -> None:
    """Without --mean and --std the detector sees noise around 0, and its scores differ in the last bit only."""
    pytest.importorskip("onnxruntime")
    said = fails(capsys, 3, "convert", str(SOURCE), "-o", str(tmp_path / "door.tody"))
    assert "hardly moves" in said and "--mean" in said


def test_unknown_kernels(capsys: Capture, door: Path) -> None:
    fails(capsys, 2, "run", str(door), "--kernels", "abacus")


def write_unsupported(path: Path) -> None:
    """Three nodes, two of which nobody can convert."""
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="good"),
        helper.make_node("StringNormalizer", ["a"], ["b"], name="bad-one"),
        helper.make_node("Unknown", ["b"], ["y"], name="bad-two", domain="com.example"),
    ]
    ports = [helper.make_tensor_value_info(name, floats, [1, 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString())


def test_unsupported_operators_are_all_listed_and_nothing_is_written(capsys: Capture, tmp_path: Path) -> None:
    write_unsupported(tmp_path / "m.onnx")
    arguments = ("convert", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.tody"))
    text = fails(capsys, 4, *arguments)
    assert re.search(r"bad-one: StringNormalizer of ai.onnx 17", text) and re.search(r"bad-two: Unknown of com.example 1", text)
    assert "good" not in text
    main([*arguments, "--json"])
    nodes = json.loads(capsys.readouterr().err)["nodes"]
    assert [n["name"] for n in nodes] == ["bad-one", "bad-two"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx"]
    assert main(["check", str(tmp_path / "m.onnx")]) == 4
    assert "bad-two" in capsys.readouterr().out


def test_accuracy_bound_and_force(capsys: Capture, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    target = tmp_path / "door.tody"
    usual = [
        "convert",
        str(SOURCE),
        "-o",
        str(target),
        "--pixels",
        "bgr",
        "--mean",
        "0",
        "--std",
        "1",
        "--decoder",
        "centernet",
    ]
    fails(capsys, 3, *usual, "--tolerance", "1e-12")
    assert not target.exists()
    assert main([*usual, "--tolerance", "1e-12", "--force"]) == 0
    assert target.exists() and "forced" in capsys.readouterr().out


def test_target_that_cannot_be_written(capsys: Capture, door: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    fails(capsys, 2, "convert", str(SOURCE), "-o", str(tmp_path / "no" / "door.tody"))
    if pytest.importorskip("cv2"):
        fails(capsys, 9, "detect", str(door), "fake://door", "--save", str(tmp_path / "no" / "out.mp4"))


@pytest.mark.parametrize("content", [b"", b"\x08\x01garbage" * 50, b"\xff" * 4096])
def test_corrupt_onnx(capsys: Capture, tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "m.onnx").write_bytes(content)
    fails(capsys, 2, "convert", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.tody"))
    assert not (tmp_path / "m.tody").exists()


def test_a_fault_of_ours_is_three_lines_too_and_debug_shows_it(
    capsys: Capture, door: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tody.run.model import Model

    def broken(self: Model) -> str:
        raise RuntimeError("the moon")

    monkeypatch.delenv("TODY_DEBUG", raising=False)
    monkeypatch.setattr(Model, "describe", broken)
    assert "RuntimeError: the moon" in fails(capsys, 1, "run", str(door))
    monkeypatch.setenv("TODY_DEBUG", "1")
    with pytest.raises(RuntimeError):
        main(["run", str(door)])


def reasons(path: Path) -> list[str]:
    """Where a file makes one of our errors without saying why."""
    found = []
    for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
        kind = ast.unparse(call.func)
        why = next((k.value for k in call.keywords if k.arg == "why"), call.args[1] if len(call.args) > 1 else None)
        known = any(isinstance(argument, ast.Starred) for argument in call.args)
        if "UsageError" in kind and not known and (why is None or (isinstance(why, ast.Constant) and not why.value)):
            found.append(f"{path.name}:{call.lineno}")
    return found


def test_every_usage_error_says_why() -> None:
    package = Path(tody.__file__).parent
    assert [place for path in sorted(package.rglob("*.py")) for place in reasons(path)] == []


def test_what_is_read_is_not_overwritten(capsys: Capture, door: Path, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((64, 64, 3), np.uint8))
    assert main(["detect", str(door), str(tmp_path), "--save", str(tmp_path / "all.avi")]) == 0
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    for source, target in (
        ("a.png", "a.png"),
        ("a.png", "link.png"),
        ("all.avi", "all.avi"),
        ("", "b.png"),
        ("", ""),
        ("*.png", "b.png"),
        ("[ab].png", ""),
    ):
        capsys.readouterr()
        said = fails(capsys, 2, "detect", str(door), str(tmp_path / source), "--save", str(tmp_path / target))
        assert "it is what is read" in said
    assert {p: p.read_bytes() for p in before} == before
    assert main(["detect", str(door), str(tmp_path / "a.png"), "--save", str(tmp_path / "c.png")]) == 0


def test_labels_of_another_number_are_noted(capsys: Capture, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "three.names").write_text("a\nb\nc\n")
    picture = ["--pixels", "bgr", "--mean", "0", "--std", "1", "--decoder", "centernet"]
    names = ["--labels", str(tmp_path / "three.names")]
    assert main(["convert", str(SOURCE), "-o", str(tmp_path / "door.tody"), *picture, *names]) == 0
    assert "3 labels are given for 1 classes" in capsys.readouterr().out


def test_exit_codes_are_those_that_help_tells() -> None:
    codes = {
        e.__name__: (e.exit_code, e.kind) for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)
    }
    assert codes == {
        "TodyError": (1, "error"),
        "UsageError": (2, "usage"),
        "ModelError": (2, "model"),
        "MissingExtraError": (2, "missing-extra"),
        "AccuracyError": (3, "accuracy"),
        "RolloutError": (3, "rollout"),
        "UnsupportedError": (4, "unsupported"),
        "MemoryLimitError": (5, "memory"),
        "DeviceError": (6, "device"),
        "TrustError": (7, "trust"),
        "CameraError": (9, "camera"),
    }
