"""Training with fake quantisation: the module is the runtime's model, and its integers are the file's."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="the extra [train] is not installed: pip install torch")

import zoo  # noqa: E402
from net import Net  # noqa: E402
from run_torch import outputs_of, quiet  # noqa: E402, F401

import tody  # noqa: E402
from tody import train  # noqa: E402
from tody.convert.graph import Graph  # noqa: E402
from tody.convert.integers import to_integers  # noqa: E402
from tody.errors import ModelError, UsageError  # noqa: E402

Array = NDArray[Any]
nn = torch.nn


def small() -> Any:
    """A network with what matters: residual addition, depthwise, an activation that becomes a table, concat, pooling."""

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
            self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
            self.wide = nn.Conv2d(8, 8, 1)
            self.last = nn.Linear(16, 4)

        def forward(self, x: Any) -> Any:
            x = self.first(x)
            y = torch.relu(x + self.wide(self.deep(x)))
            return self.last(torch.cat([x, torch.max_pool2d(y, 3, 1, 1)], 1).mean((2, 3)))

    return Block()


def pictures(count: int, seed: int = 1) -> tuple[Array, Array]:
    """Four classes: which quarter of the picture is bright."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((count, 1, 16, 16)).astype(np.float32) * 0.3
    y = random.integers(0, 4, count)
    for i, kind in enumerate(y):
        x[i, 0, 8 * (kind // 2) :, 8 * (kind % 2) :][:8, :8] += np.linspace(0.5, 1.5, 8)[:, None] * (1 + kind)
    return x, y


@pytest.fixture(scope="module")
def trained() -> Any:
    torch.manual_seed(3)
    torch.set_num_threads(1)
    module = small()
    train.fit(module, pictures(600), epochs=4, rate=1e-2)
    return module


def right(model: Any, test: tuple[Array, Array]) -> float:
    return float(np.mean([model(x[None]).argmax() == y for x, y in zip(*test, strict=True)]))


def test_two_lines_make_an_int8_model_that_loses_nothing(trained: Any, tmp_path: Path) -> None:
    report = train.fine_tune(trained, pictures(600), epochs=2, test=pictures(200, 2))
    path = report.save(tmp_path / "small.tody")
    assert report.accuracy.metric == "top1" and report.accuracy.samples == 200
    assert report.accuracy.before > 0.9 and report.accuracy.drop <= 0
    model = tody.load(path, threads=1)
    assert model.precision == "int8" and not report.islands
    assert right(model, pictures(200, 2)) == report.accuracy.after
    assert "learned" in {layer.method for layer in report.layers}
    assert "top-1" in str(report) and report.html()


def test_channels_that_training_left_idle_leave_the_file() -> None:
    module = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 8, 3, padding=1)).eval()
    with torch.no_grad():
        module[0].bias[8:] = -1e3  # what is never above zero
    student = train.Student(module, pictures(16)[0])
    student.quantise()
    report = student.compile()
    widths = [tensor.shape[-1] for tensor in tody.load(report.content).file.tensors if tensor.place == "arena"]
    assert 8 in widths and 32 not in widths and any("24 of" in note for note in report.notes)
    assert report.accuracy.drop <= 0.01


def integers_in(graph: Graph) -> list[Array]:
    return [v.data for v in graph.values.values() if v.data is not None and v.dtype == "int8" and v.data.ndim != 1]


def test_the_integers_of_the_file_are_those_of_training(trained: Any) -> None:
    student = train.Student(trained, pictures(64)[0])
    student.quantise()
    train.train(student, pictures(256), epochs=1)
    graph = student.executor.write_back()
    made = {name: student.executor.constant(name) for name, v in graph.values.items() if v.constant and v.quant}
    for name, parameter in made.items():
        want = student.executor.quantisers[student.executor._keys[name]](parameter)[0].detach().numpy()
        value = graph.values[name]
        assert value.quant is not None and value.data is not None
        scales = (
            np.float32(value.quant.scales).reshape(-1, *(1,) * 2) if value.data.ndim == 4 else np.float32(value.quant.scales)
        )
        assert np.array_equal(value.data * scales, want)
    trained_integers = sorted(v.data.tobytes() for v in graph.values.values() if v.constant and v.quant)
    to_integers(graph)
    kept = {data.tobytes() for data in integers_in(graph)}
    assert len(trained_integers) == 4 and kept.issuperset(trained_integers)


@pytest.mark.parametrize("bits", [8, 4])
def test_the_module_and_the_runtime_agree(trained: Any, bits: int) -> None:
    student = _trained_in(trained, bits)
    _check_alike(student)
    most = max(int(np.abs(data).max()) for data in integers_in(_read(student)))
    assert most <= 2 ** (bits - 1) - 1


@pytest.mark.parametrize("bits", [8, 4])
def test_slopes_that_were_trained_belong_to_integer_layers(bits: int) -> None:
    torch.manual_seed(1)
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.PReLU(16), nn.Conv2d(16, 16, 3, 2, 1), nn.LeakyReLU(0.1), nn.Conv2d(16, 4, 8)]
    first = torch.linspace(0.1, 0.4, 16)  # equal ones would be a leaky ReLU, whose slope is no parameter
    layers[1].weight.data = first.clone()
    student = _trained_in(nn.Sequential(*layers, nn.Flatten()), bits)
    graph = student.executor.write_back()
    named = [node.inputs[1] for node in graph.nodes if node.op == "binary" and node.attrs["fn"] == "prelu"]
    slopes = [graph.values[name or ""].data for name in named]
    assert len(slopes) == 1 and slopes[0] is not None
    assert 0 < np.abs(slopes[0].ravel() - first.numpy()).max() < 0.2
    model = _check_alike(student)
    assert [r.op for r in model.file.records[:3]] == ["cast", "conv", "conv"]
    assert {model.file.tensors[r.outputs[0] or 0].dtype for r in model.file.records[:3]} == {"int8"}


def _trained_in(module: Any, bits: int) -> Any:
    student = train.Student(module, pictures(64)[0])
    student.quantise(bits)
    train.train(student, pictures(256), epochs=1)
    return student


def _check_alike(student: Any) -> Any:
    """Outputs of module and model are equal, but for ties that float32 sums decide otherwise: at most one in a hundred."""
    x = pictures(100, 3)[0]
    found = outputs_of(student, [x])[0]
    model = tody.load(student.content(), threads=1)
    real = np.concatenate([model(each[None]) for each in x])
    apart = np.abs(found - real) / np.abs(real).max()
    assert (apart > 1e-6).mean() <= 0.01 and apart.max() < 0.05
    return model


def _read(student: Any) -> Graph:
    graph = student.executor.write_back()
    graph.values = {n: v for n, v in graph.values.items() if v.constant and v.quant}
    return graph


def test_a_model_that_is_quantised_already_is_trained_on() -> None:
    net = Net(8)
    scale, zero = net.number(0.05), net.constant(np.int8(-20))
    x = net.op("DequantizeLinear", net.op("QuantizeLinear", net.input(1, 3, 8, 8), scale, zero), scale, zero)
    integers = net.constant(net.random.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8))
    steps = net.constant(net.random.uniform(0.001, 0.01, 8).astype(np.float32))
    weights = net.op("DequantizeLinear", integers, steps, net.constant(np.zeros(8, np.int8)), axis=0)
    y = net.op("Relu", net.op("Conv", x, weights, net.floats(8)))
    y = net.op("DequantizeLinear", net.op("QuantizeLinear", y, scale, zero), scale, zero)
    data = pictures(20)[0][:, :, :8, :8].repeat(3, 1)
    student = train.Student(net.model(y), data)
    assert student.bits == 8
    before = student.content()
    found = np.concatenate([tody.load(before)(each[None]) for each in data])
    assert (np.abs(outputs_of(student, [data])[0] - found) > 1e-6).mean() <= 0.001

    class Fainter(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.same = student.teacher()

        def forward(self, x: Any) -> Any:
            return 0.95 * self.same(x)

    report = train.fine_tune(student, data, teacher=Fainter(), epochs=2, batch=5, rate=1e-3)
    assert tody.load(report.content).precision == "int8" and report.content != before
    assert report.accuracy.after > 0.9


def test_any_loop_can_train_a_student(trained: Any) -> None:
    """What a user writes who wants the loop to himself."""
    x, y = map(torch.from_numpy, pictures(256))
    student = train.Student(trained, x)
    student.quantise()
    teach = train.Distiller(student, features=[(student.layers[0], student.teacher().layers[0])])
    teach.fit(x[:8])
    before = {name: value.clone() for name, value in student.state_dict().items()}
    optimiser = torch.optim.SGD([*student.parameters(), *teach.parameters()], 1e-3)
    losses = []
    for _ in range(8):
        outputs, loss = teach(x)
        loss = loss + nn.functional.cross_entropy(outputs, y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert any(not torch.equal(before[name], value) for name, value in student.state_dict().items())
    student.load_state_dict(before)
    assert student.compile().content == student.compile().content


@pytest.mark.parametrize("kind", ["arrays", "tensor", "dict", "loader", "samples"])
def test_data_in_every_form(trained: Any, kind: str) -> None:
    x, y = pictures(40)
    student = train.Student(trained, x)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*map(torch.from_numpy, (x, y))), 16)
    data = {
        "arrays": (x, y), "tensor": torch.from_numpy(x), "dict": {"input": x, "labels": y}, "loader": loader,
        "samples": student.data.calibration,
    }[kind]  # fmt: skip
    calls: list[tuple[int, int, float]] = []
    train.train(student, data, epochs=2, batch=16, progress=lambda *call: calls.append(call))
    batches = 2 * -(-len(data) // 16) if kind == "samples" else 6
    assert [call[:2] for call in calls] == [(i + 1, batches) for i in range(batches)]


def test_equal_seeds_train_alike(trained: Any) -> None:
    found = [train.fine_tune(trained, pictures(128), epochs=1).content for _ in range(2)]
    assert found[0] == found[1]


def test_a_pruned_student_learns_again(trained: Any) -> None:
    student = train.Student(trained, pictures(128)[0])
    pruning = student.prune(0.4)
    assert pruning.fraction >= 0.4
    before = student.compile(pictures(200, 2)).accuracy.after
    train.train(student, pictures(600), teacher=trained, epochs=6, rate=1e-2)
    student.quantise()
    train.train(student, pictures(600), teacher=trained, epochs=1)
    report = student.compile(pictures(200, 2))
    assert report.options["prune"].endswith("of macs") and report.accuracy.after > before + 0.1
    assert report.after.weight_bytes < report.before.weight_bytes
    with pytest.raises(UsageError, match="quantised already"):
        student.prune(0.2)


def test_sparse_weights_stay_zero(trained: Any) -> None:
    student = train.Student(trained, pictures(128)[0])
    student.sparsify(0.5)
    train.train(student, pictures(128), epochs=1)
    student.quantise()
    train.train(student, pictures(128), epochs=1)
    packed = [data for data in integers_in(student.executor.write_back()) if data.ndim == 4 and data.shape[-1] % 4 == 0]
    for data in packed:
        blocks = data.reshape(-1, 4)
        assert (blocks == 0).all(1).mean() >= 0.5
    assert len(packed) == 2


def test_masks_of_training_become_blocks_of_the_file() -> None:
    layers = [nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    module = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 4))
    train.fit(module, pictures(300), epochs=3, rate=1e-2)
    reports = []
    for share in (0.0, 0.6):
        student = train.Student(module, pictures(64)[0])
        if share:
            student.sparsify(share)
        train.train(student, pictures(300), teacher=module, epochs=2, rate=1e-2)
        student.quantise()
        train.train(student, pictures(300), teacher=module, epochs=1)
        reports.append(student.compile(pictures(200, 2)))
    packs = [{t.pack for t in tody.load(report.content).file.tensors} for report in reports]
    assert "blocks" not in packs[0] and "blocks" in packs[1]
    assert reports[1].after.weight_bytes < 0.75 * reports[0].after.weight_bytes and reports[1].accuracy.drop <= 0.05


def test_losses() -> None:
    a, b = torch.randn(4, 10), torch.randn(4, 10)
    assert float(train.soft_labels(a, a)) == pytest.approx(0, abs=1e-6)
    p, q = torch.softmax(b / 3, 1), torch.softmax(a / 3, 1)
    assert float(train.soft_labels(a, b, 3)) == pytest.approx(float((p * (p / q).log()).sum(1).mean() * 9), rel=1e-5)
    assert float(train.distance(a, a)) == 0 and float(train.distance(a, b)) > 0
    x, y = torch.randn(2, 8, 8, 3), torch.randn(2, 8, 8, 5)
    assert torch.allclose(train.flow(x, y), torch.einsum("bhwi,bhwj->bij", x, y) / 64, atol=1e-5)
    assert train.flow(x, torch.randn(2, 4, 4, 5)).shape == (2, 3, 5)


def test_features_and_flows_of_a_torch_teacher(trained: Any) -> None:
    student = train.Student(trained, pictures(32)[0])
    mine = student.layers
    assert len(mine) == 4
    teach = train.Distiller(student, trained, features=[(mine[1], "first")], flows=[((mine[0], mine[2]), ("first", "wide"))])
    _, loss = teach(torch.from_numpy(pictures(8)[0]))
    loss.backward()
    assert torch.isfinite(loss) and all(p.grad is not None for p in teach.adapters.parameters())
    assert not any(p.requires_grad for p in trained.parameters())
    for bad in ([("nobody", "first")], [(mine[0], "nobody")]):
        with pytest.raises(UsageError, match="nobody"):
            train.Distiller(student, trained, features=bad)(torch.from_numpy(pictures(8)[0]))


def test_a_detector_learns_from_itself_without_labels() -> None:
    model = zoo.centerface()
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(0).standard_normal((8, *shape[1:])).astype(np.float32)
    student = train.Student(model, x)
    student.quantise(4)
    first = train.train(student, x, epochs=1, batch=4, rate=1e-6)
    last = train.train(student, x, epochs=8, batch=4, rate=1e-3)
    assert last < 0.8 * first
    assert student.compile().accuracy.metric == "agreement"


def test_errors_are_clear(trained: Any) -> None:
    student = train.Student(trained, pictures(32)[0])
    with pytest.raises(UsageError, match="batch"):
        student(torch.zeros(2, 1, 8, 8))
    with pytest.raises(UsageError, match="bits"):
        student.quantise(1)
    with pytest.raises(UsageError, match="samples"):
        train.train(student, (pictures(8)[0], np.zeros(7)))
    with pytest.raises(UsageError, match="no stacked arrays"):
        train.Student(trained, "pictures/")

    class Odd(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            raise RuntimeError("no graph comes of this")

    with pytest.raises(ModelError, match="export"):
        train.export(Odd(), torch.zeros(1, 3))


def test_fashion_mnist_reads_what_it_should(tmp_path: Path) -> None:
    import gzip
    import struct

    for part, count in (("train", 5), ("t10k", 2)):
        images = struct.pack(">4I", 0x803, count, 28, 28) + bytes(range(256)) * 4 * count
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images[: 16 + count * 784]))
        labels = struct.pack(">2I", 0x801, count) + bytes(count)
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    (x, y), (test, _) = train.fashion_mnist(tmp_path, most=3)
    assert x.shape == (3, 1, 28, 28) and x.dtype == np.float32 and x.max() == 1 and y.dtype == np.int64 and len(test) == 2
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels[:-1]))
    with pytest.raises(ModelError, match="damaged"):
        train.fashion_mnist(tmp_path)
    with pytest.raises(UsageError, match="there is no"):
        train.fashion_mnist(tmp_path / "nowhere")
