"""The memory plan: nothing overlaps while it is alive, inputs stay, and it is never below the lower bound nor far above it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random

import numpy as np
from passes import run

from tody import format as fmt
from tody.convert.graph import Graph, Node, Value
from tody.convert.lower import lower
from tody.convert.plan import Buffer, least_bytes, place, plan
from tody.convert.schedule import schedule


def random_graph(rng: random.Random) -> Graph:
    """A graph of elementwise operators, reshapes and reductions with branches."""
    graph = Graph()

    def value(name: str, shape: tuple[int, ...]) -> str:
        graph.values[name] = Value(name, shape)
        return name

    graph.inputs = [value(f"x{i}", (rng.choice([3, 8]), rng.choice([5, 64]))) for i in range(rng.randint(1, 2))]
    made = list(graph.inputs)
    for i in range(rng.randint(1, 25)):
        x = rng.choice(made[-6:])
        shape = graph.values[x].shape
        same = [n for n in made if graph.values[n].shape == shape]
        kind = rng.choice(["unary", "binary", "reshape", "reduce", "copy"])
        if kind == "unary":
            node = Node("unary", [x], [value(f"v{i}", shape)], {"function": ("affine", 0.5, 1.0)})
        elif kind == "binary":
            node = Node("binary", [x, rng.choice(same)], [value(f"v{i}", shape)], {"fn": "add"})
        elif kind == "reshape":
            node = Node("reshape", [x], [value(f"v{i}", shape[::-1])])
        elif kind == "reduce":
            node = Node("reduce", [x], [value(f"v{i}", (1, shape[1]))], {"fn": "mean", "axes": 1})
        else:
            node = Node("copy", [x], [value(f"v{i}", shape[::-1])], {"offset": 0, "stride": (1, shape[1])})
        graph.nodes.append(node)
        made.append(f"v{i}")
    graph.outputs = sorted({made[-1], rng.choice(made)})
    return graph


def shuffled(rng: random.Random, graph: Graph) -> Graph:
    """The same in another order that is allowed."""
    left, known, nodes = list(graph.nodes), set(graph.inputs), []
    while left:
        node = rng.choice([n for n in left if known.issuperset(n.inputs)])
        left.remove(node)
        nodes.append(node)
        known.update(node.outputs)
    graph.nodes = nodes
    return graph


def reference(graph: Graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The same graph in NumPy."""
    known = dict(zip(graph.inputs, arrays, strict=True))
    for node in graph.nodes:
        x = known[node.inputs[0]]
        shape = graph.values[node.outputs[0]].shape
        known[node.outputs[0]] = {
            "unary": lambda x=x: x * np.float32(0.5) + np.float32(1),
            "binary": lambda x=x, node=node: x + known[node.inputs[-1]],
            "reshape": lambda x=x, shape=shape: x.reshape(shape),
            "reduce": lambda x=x: x.mean(axis=0, keepdims=True),
            "copy": lambda x=x: x.T,
        }[node.op]()
    return [known[name] for name in graph.outputs]


def test_random_buffers_do_not_overlap() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        buffers = []
        for i in range(rng.randint(1, 25)):
            first = rng.randint(0, 20)
            buffers.append(Buffer(str(i), rng.randint(1, 4000), first, first + rng.randint(0, 8)))
        total = place(sorted(buffers, key=lambda b: -b.bytes))
        for i, a in enumerate(buffers):
            assert a.at % fmt.ARENA_ALIGN == 0 and a.at + a.bytes <= total
            for b in buffers[:i]:
                together = a.first <= b.last and b.first <= a.last
                assert not together or a.at + a.bytes <= b.at or b.at + b.bytes <= a.at
        assert least_bytes(buffers) <= total


def test_random_graphs_compute_what_numpy_does() -> None:
    rng = random.Random(2)
    numbers = np.random.default_rng(2)
    for _ in range(150):
        graph = shuffled(rng, random_graph(rng))
        arrays = [numbers.standard_normal(graph.values[n].shape).astype(np.float32) for n in graph.inputs]
        for wanted, got in zip(reference(graph, arrays), run(graph, *arrays), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_inputs_are_intact_after_a_run() -> None:
    from tody._runtime import Runtime

    rng = random.Random(3)
    for _ in range(50):
        file, _ = lower(random_graph(rng))
        runtime = Runtime(fmt.write(file))
        for tensor in runtime.inputs:
            np.asarray(tensor)[...] = 1.5
        runtime.run()
        first = [np.array(t) for t in runtime.outputs]
        assert all((np.asarray(t) == 1.5).all() for t in runtime.inputs)
        runtime.run()
        assert all(np.array_equal(a, np.asarray(t)) for a, t in zip(first, runtime.outputs, strict=True))


def chain(*functions: str) -> Graph:
    graph = Graph(inputs=["x"], values={"x": Value("x", (4, 64))})
    name = "x"
    for i, function in enumerate(functions):
        graph.values[f"y{i}"] = Value(f"y{i}", (4, 64))
        graph.nodes.append(Node("unary", [name], [f"y{i}"], {"function": (function, 0.0, 0.0)}))
        name = f"y{i}"
    graph.outputs = [name]
    return graph


def test_elementwise_operators_work_in_place_but_not_on_inputs() -> None:
    where = plan(chain("exp", "abs", "sqrt"))
    assert where.at["x"] != where.at["y0"] == where.at["y1"] == where.at["y2"]
    assert where.arena_bytes == where.least_bytes == 2 * 4 * 64 * 4


def test_an_output_is_not_written_over() -> None:
    graph = chain("exp", "abs")
    graph.outputs = ["y0", "y1"]
    where = plan(graph)
    assert len({where.at[name] for name in ("x", "y0", "y1")}) == 3


def test_a_residual_shares_the_memory_of_the_sum() -> None:
    graph = chain("exp")
    graph.values |= {name: Value(name, (4, 64)) for name in ("h", "y")}
    graph.values["w"] = Value("w", (1, 64, 1, 64), data=np.zeros((1, 64, 1, 64), np.float32), pack="panels")
    graph.nodes.append(Node("dense", ["y0", "w"], ["h"]))
    graph.nodes.append(Node("dense", ["h", "w", None, "y0"], ["y"]))
    graph.outputs = ["y"]
    where = plan(graph)
    assert where.at["y"] == where.at["y0"] != where.at["h"]
    graph.nodes[-1].inputs[0] = "y0"  # an operand that is read elsewhere too
    graph.outputs = ["y", "h"]
    where = plan(graph)
    assert where.at["y"] != where.at["y0"]


def test_outputs_that_are_inputs_or_constants_or_each_other_are_copied() -> None:
    graph = chain("exp")
    graph.values["c"] = Value("c", (3,), data=np.arange(3, dtype=np.float32))
    graph.values["r"] = Value("r", (64, 4))
    graph.nodes.append(Node("reshape", ["x"], ["r"]))
    graph.outputs = ["x", "r", "c", "y0", "y0"]
    x = np.linspace(-1, 1, 256, dtype=np.float32).reshape(4, 64)
    got = run(graph, x)
    for a, b in zip(got, [x, x.reshape(64, 4), np.arange(3), np.exp(x), np.exp(x)], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    file, _ = lower(graph)
    assert len({file.tensors[i].at for i in file.inputs + file.outputs}) == 6


def test_a_released_input_lends_its_memory() -> None:
    where = plan(chain("exp", "abs", "sqrt"), keep_inputs=False)
    assert where.at["x"] == where.at["y0"] == where.at["y2"]
    assert where.arena_bytes == where.least_bytes == 4 * 64 * 4


def fans(count: int, size: int) -> Graph:
    """Large values made of x one after the other, each summed up only after all are made: the worst order."""
    graph = Graph(inputs=["x"], outputs=["sum"], values={"x": Value("x", (1, 8))})
    for i in range(count):
        graph.values[f"large{i}"] = Value(f"large{i}", (size, 8))
        graph.nodes.append(Node("copy", ["x"], [f"large{i}"], {"offset": 0, "stride": (0, 1)}))
    for i in range(count):
        graph.values[f"small{i}"] = Value(f"small{i}", (1, 8))
        graph.nodes.append(Node("reduce", [f"large{i}"], [f"small{i}"], {"fn": "mean", "axes": 1}))
    graph.values["sum"] = Value("sum", (1, 8))
    graph.values["some"] = Value("some", (1, 8))
    graph.nodes.append(Node("binary", ["small0", "small1"], ["some"], {"fn": "add"}))
    graph.nodes.append(Node("binary", ["some", f"small{count - 1}"], ["sum"], {"fn": "add"}))
    return graph


def test_the_order_keeps_one_large_value_at_a_time() -> None:
    graph = fans(6, 100)
    assert plan(graph).arena_bytes > 6 * 100 * 32
    other = graph.copy()
    schedule(other)
    assert plan(other).arena_bytes <= 100 * 32 + 8 * 32 and len(other.nodes) == len(graph.nodes)
    x = np.arange(8, dtype=np.float32)[None]
    np.testing.assert_allclose(run(graph, x)[0], 3 * x, rtol=1e-6)
    assert [n.op for n in graph.nodes] == ["copy"] * 6 + ["reduce"] * 6 + ["binary"] * 2
    file, where = lower(graph)
    assert file.arena_bytes == where.arena_bytes <= 100 * 32 + 8 * 32


def test_a_good_order_stays() -> None:
    graph = chain("exp", "abs", "sqrt")
    before = list(graph.nodes)
    schedule(graph)
    assert graph.nodes == before


def test_plans_of_random_graphs_are_no_larger_when_scheduled() -> None:
    rng = random.Random(4)
    for _ in range(100):
        graph = shuffled(rng, random_graph(rng))
        for keep in (True, False):
            before = plan(graph, keep).arena_bytes
            schedule(graph, keep)
            assert plan(graph, keep).arena_bytes <= before
