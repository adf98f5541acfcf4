"""tody compress, tody sensitivity and tody eval --metric agreement, as a user types them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tody
from patience import PATIENCE
from tody import memory
from tody.cli.main import main

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnx")

Capture = pytest.CaptureFixture[str]
SOURCE = Path(__file__).parents[3] / "examples/data/door.onnx"
HOW = ["--decoder", "centernet", "--pixels", "bgr", "--mean", "0", "--std", "1", "--fit", "stretch"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of fake://door, with and without somebody in them."""
    root = tmp_path_factory.mktemp("pictures")
    with tody.Camera("fake://door?frames=96") as camera:
        for i, frame in enumerate(camera):
            if i % 6 == 0:
                cv2.imwrite(str(root / f"{i:02}.png"), frame)
    return root


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TODY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compress(*more: str, data: Path) -> list[str]:
    return ["compress", str(SOURCE), "--data", str(data), "--effort", "fast", *HOW, *more]


def test_compress_says_what_it_cost(capsys: Capture, pictures: Path, here: Path) -> None:
    assert main(compress("-o", "small.tody", "--report", "page.html", data=pictures)) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    for part in ("boxes: F1", "worst layers", "kept apart", "written to small.tody, the report to page.html", " -> "):
        assert part in said.out
    assert tody.load("small.tody").precision == "int8"
    assert "<svg" in (here / "page.html").read_text()
    assert sorted(p.name for p in here.iterdir()) == ["page.html", "small.tody"]


def test_compress_as_json(capsys: Capture, pictures: Path, here: Path) -> None:
    assert main([*compress(data=pictures), "--json"]) == 0
    said = capsys.readouterr()
    facts = json.loads(said.out)
    assert said.err == "" and facts["output"] == "door.tody" and facts["report"] is None
    assert facts["after"]["file_bytes"] == (here / "door.tody").stat().st_size
    assert facts["accuracy"]["metric"] == "agreement" and facts["accuracy"]["after"] > 0.9
    assert facts["data"] == {"source": pictures.name, "kind": "pictures", "calibration": 11, "measuring": 5, "shared": False}
    assert {"name", "op", "bits", "sqnr_db"} <= set(facts["layers"][0])


def test_coded_file_computes_the_same(capsys: Capture, pictures: Path) -> None:
    for name, more in (("plain.tody", []), ("coded.tody", ["--coded"])):
        assert main(compress("-o", name, *more, data=pictures)) == 0
    plain, coded = tody.load("plain.tody"), tody.load("coded.tody")
    assert coded.file_bytes < plain.file_bytes and coded.decoded_bytes == plain.file_bytes
    x = np.random.default_rng(0).uniform(0, 255, (1, 3, 96, 128)).astype(np.float32)
    for a, b in zip(plain(x).values(), coded(x).values()):
        assert a.tobytes() == b.tobytes()


def test_half_floats(capsys: Capture, pictures: Path) -> None:
    assert main([*compress("--weights", "16", data=pictures), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    model = tody.load("door.tody")
    assert model.precision == "float32" and model.decoded_bytes and facts["options"] == {"prune": 0.0, "coded": True}
    assert facts["accuracy"]["after"] == 1.0 and facts["weights"] == 16
    assert main(compress("--weights", "16", "--io", "int8", data=pictures)) == 2


@pytest.fixture
def net(here: Path) -> list[str]:
    """A command that compresses a net of three convolutions, whose channels have use for bits."""
    onnx = pytest.importorskip("onnx")
    rng = np.random.default_rng(0)
    shapes = {"a": (32, 3, 3, 3), "b": (32, 32, 3, 3), "c": (4, 32, 1, 1)}
    weights = [onnx.numpy_helper.from_array(rng.normal(0, 0.1, s).astype(np.float32), n) for n, s in shapes.items()]
    steps = [("Conv", ["x", "a"], "p", [1] * 4), ("Relu", ["p"], "q", None), ("Conv", ["q", "b"], "r", [1] * 4)]
    steps += [("Relu", ["r"], "s", None), ("Conv", ["s", "c"], "y", None)]
    nodes = [onnx.helper.make_node(op, i, [o], **({"pads": pads} if pads else {})) for op, i, o, pads in steps]
    ports = [onnx.helper.make_tensor_value_info(n, 1, s) for n, s in (("x", [1, 3, 16, 16]), ("y", [1, 4, 16, 16]))]
    graph = onnx.helper.make_graph(nodes, "net", ports[:1], ports[1:], weights)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), "net.onnx")
    np.save("x.npy", rng.normal(size=(12, 3, 16, 16)).astype(np.float32))
    return ["compress", "net.onnx", "--data", "x.npy", "--effort", "fast", "--force"]


def test_pruned_model_does_less_work(capsys: Capture, net: list[str]) -> None:
    plain, pruned = (rows(capsys, *net, "--prune", share) for share in ("0", "0.5"))
    assert pruned["after"]["weight_bytes"] < 0.75 * plain["after"]["weight_bytes"]
    assert any("of the multiply-adds were pruned" in note for note in pruned["notes"])


def test_the_smallest_of_several_widths_is_kept(capsys: Capture, net: list[str], here: Path) -> None:
    several = [*net[:-1], "--metric", "agreement", "--weights", "16,8,4,2,8"]
    facts = rows(capsys, *several, "--max-drop", "0.02")
    points = {point["label"]: point for point in facts["points"]}
    assert list(points) == ["float16", "8 bit", "4 bit", "2 bit"] and facts["options"]["coded"] is True
    sizes = [point["file_bytes"] for point in points.values()]
    assert sizes == sorted(sizes, reverse=True) and points["2 bit"]["accuracy"] < 0.98 <= points["4 bit"]["accuracy"]
    assert facts["weights"] == 4 and (here / "net.tody").stat().st_size == points["4 bit"]["file_bytes"]
    assert main([*several, "--max-drop", "0"]) == 3 and main([*net, "--weights", "8,9"]) == main([*net, "--weights", "8,"]) == 2


def test_blocks_of_zeros_are_stored_and_skipped(capsys: Capture, net: list[str], here: Path) -> None:
    facts = rows(capsys, *net, "--sparsity", "0.75")
    assert facts["options"]["sparsity"] == 0.75 and any(
        "blocks of weights that are not zero" in note for note in facts["notes"]
    )
    sparse = tody.load(here / "net.tody").file_bytes
    assert sparse < rows(capsys, *net)["after"]["file_bytes"]
    assert main([*net, "--sparsity", "0.95"]) == main([*net, "--sparsity", "0.5", "--weights", "16"]) == 2


def test_target_size_is_kept(capsys: Capture, net: list[str], here: Path) -> None:
    whole = rows(capsys, *net, "--coded")["after"]["file_bytes"]
    wanted = whole - 2000
    facts = rows(capsys, *net, "--target-size", str(wanted))
    assert facts["after"]["file_bytes"] == (here / "net.tody").stat().st_size <= wanted
    assert min(layer["bits"] for layer in facts["layers"]) < 8
    share = wanted / facts["before"]["file_bytes"]
    facts = rows(capsys, *net, "--target-size", f"{100 * share:.2f}%")
    assert facts["options"]["target_size"] == pytest.approx(wanted, rel=0.001)
    assert facts["after"]["file_bytes"] <= facts["options"]["target_size"]
    assert main([*net, "--target-size", "0%"]) == main([*net, "--target-size", "100%"]) == 2
    assert main([*net, "--target-size", "1K"]) == 5, "it does not fit"
    assert main([*net, "--target-size", "small"]) == 2


def test_integers_at_the_borders_are_measured_as_real_numbers(capsys: Capture, pictures: Path) -> None:
    assert main([*compress("--io", "int8", data=pictures), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    model = tody.load("door.tody")
    assert {port.dtype for port in (*model.inputs, *model.outputs)} == {"int8"}
    assert facts["accuracy"]["agreement"]["kind"] == "boxes" and facts["accuracy"]["after"] > 0.9
    assert min(o["cosine"] for o in facts["accuracy"]["agreement"]["outputs"]) > 0.99


def half(values: Path) -> Path:
    """Samples that are nothing like what the model was made for: white noise in its input's shape."""
    rng = np.random.default_rng(0)
    np.save(values, rng.normal(0, 300, (12, 3, 96, 128)).astype(np.float32))
    return values


def test_ram_of_a_chip_is_kept(capsys: Capture, pictures: Path, here: Path) -> None:
    assert main(compress("--io", "int8", "--ram", "80K", "-o", "s.tody", data=pictures)) == 0, capsys.readouterr().err
    assert "bytes of RAM" in capsys.readouterr().out
    assert memory.need((here / "s.tody").read_bytes()).ram <= 80 << 10
    assert main(compress("--ram", "80K", "-o", "t.tody", data=pictures)) == 5
    said = capsys.readouterr().err
    assert "81,920 are allowed" in said and "--io int8" in said
    assert main(compress("--ram", "64K", "-o", "t.tody", data=pictures)) == 5
    assert "73,728, in int8" in capsys.readouterr().err, "before any work"
    assert main(compress("--ram", "64K", "--weights", "16", data=pictures)) == 2
    assert [p.name for p in here.glob("*.tody")] == ["s.tody"]


def test_too_much_lost_exits_3_and_writes_nothing(capsys: Capture, here: Path) -> None:
    data = half(here / "x.npy")
    few = ["--weights", "2", "--max-drop", "0", "--metric", "agreement", "-o", "small.tody", "--report", "page.html"]
    assert main(compress(*few, data=data)) == 3
    said = capsys.readouterr()
    lines = said.err.splitlines()[-3:]
    assert lines[0].startswith("error: the compressed model loses too much") and "worst layers: " in lines[1]
    assert lines[2].startswith("  try: more bits (--weights)") and "--force" in lines[2]
    assert [p.name for p in here.iterdir()] == ["x.npy"]
    assert main(compress(*few, "--force", data=data)) == 0
    assert "kept because it was forced" in capsys.readouterr().out
    assert {p.name for p in here.iterdir()} == {"x.npy", "small.tody", "page.html"}


BAD: dict[str, tuple[list[str], str]] = {
    "no data": (["--data", "none"], "there is no none"),
    "an empty folder": (["--data", "."], "there are no pictures in ."),
    "bits": (["--weights", "9"], "9 bits"),
    "drop": (["--max-drop", "2"], "not a number from 0 to 1"),
    "a page in no folder": (["--report", "none/page.html"], "none/page.html cannot be written"),
    "a file in no folder": (["-o", "none/small.tody"], "none/small.tody cannot be written"),
    "top-1 of a detector": (["--metric", "top1"], "the model is a detector"),
    "mAP without boxes": (["--metric", "map"], "no picture has a text file of boxes beside it"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_told_before_any_work(name: str, capsys: Capture, pictures: Path, here: Path) -> None:
    arguments, message = BAD[name]
    assert main([*compress(data=pictures), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_pictures_need_preprocessing(capsys: Capture, pictures: Path) -> None:
    assert main(["compress", str(SOURCE), "--data", str(pictures), "--decoder", "none"]) == 2
    assert "--mean and --std" in capsys.readouterr().err


def test_interrupt_leaves_nothing(here: Path) -> None:
    np.save(here / "x.npy", np.random.default_rng(0).normal(size=(800, 3, 96, 128)).astype(np.float32))
    (here / "small.tody").write_bytes(b"the old one")
    command = compress("-o", "small.tody", "--report", "page.html", "--effort", "best", "--samples", "800", data=here / "x.npy")
    process = subprocess.Popen(
        [sys.executable, "-m", "tody", *command],
        stderr=subprocess.PIPE,
        env={**os.environ},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # tests in the background ignore it
    )
    assert process.stderr and any(b"observing" in line for line in iter(process.stderr.readline, b""))  # it is at work
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and b"Traceback" not in err, err.decode()
    assert (here / "small.tody").read_bytes() == b"the old one"
    assert sorted(p.name for p in here.iterdir()) == ["small.tody", "x.npy"]


def rows(capsys: Capture, *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_sensitivity_ranks_layers(capsys: Capture, pictures: Path) -> None:
    command = ["sensitivity", str(SOURCE), "--data", str(pictures), "--samples", "2", *HOW]
    facts = rows(capsys, *command, "--bits", "2,8")
    assert facts["bits"] == [8, 2] and facts["samples"] == 2 and facts["layers"]
    for layer in facts["layers"]:
        high, low = (np.inf if v is None else v for v in (layer["sqnr_db"]["8"], layer["sqnr_db"]["2"]))
        assert high >= low - 1.0 and layer["parameters"] > 0
    assert main([*command, "--top", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[1].split()[:3] == ["LAYER", "OPERATOR", "WEIGHTS"]
    assert main([*command, "--bits", "9"]) == 2 and "is not a list of bits" in capsys.readouterr().err


def test_eval_of_agreement(capsys: Capture, door: Path, pictures: Path) -> None:
    command = ["eval", str(door), "--data", str(pictures), "--metric", "agreement"]
    facts = rows(capsys, *command, "--against", str(door))
    assert facts["agreement"] == facts["f1"] == 1.0 == pytest.approx(facts["cosine"]) and facts["images"] == 16
    assert main(command) == 2 and "--against FLOAT.tody" in capsys.readouterr().err
    assert rows(capsys, *command[:-2], "--against", str(door)) == facts
    assert main([*command[:-1], "map", "--against", str(door)]) == 2


def test_eval_of_agreement_on_arrays(capsys: Capture, door: Path, here: Path) -> None:
    np.savez(here / "x.npz", image=np.random.default_rng(0).uniform(0, 255, (3, 3, 96, 128)).astype(np.float32))
    command = ["eval", str(door), "--against", str(door), "--metric", "agreement", "--data"]
    facts = rows(capsys, *command, "x.npz", "--limit", "2")
    assert facts["agreement"] == facts["cosine"] == pytest.approx(1.0) and facts["images"] == 2
    assert main([*command, "none.npz"]) == 2 and "none.npz cannot be read" in capsys.readouterr().err


def test_top_level_name(pictures: Path) -> None:
    told = {"pixels": "bgr", "mean": 0, "std": 1, "fit": "stretch"}
    steps: list[tuple[str, int, int]] = []
    report = tody.compress(
        SOURCE, pictures, effort="fast", decoder="centernet", preprocess=told, progress=lambda *step: steps.append(step)
    )
    assert tody.load(report.bytes).meta["preprocess"]["fit"] == "stretch"
    assert {what for what, _, _ in steps} >= {"reading data", "measuring"}
    assert all(0 < done <= total for _, done, total in steps)
