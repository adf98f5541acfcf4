"""Make door.onnx: a detector, set by hand, that finds the figure of fake://door. Needs the package onnx.

A point of the heat map is high where a box of 3 x 5 cells is mostly of the shirt's colour (blue well above red);
the size of the figure is known, so its outputs are constants. 3 KB, and every step of a real CenterNet.
"""

# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np

import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEIGHT, STRIDE = 128, 96, 4
SIZE = (3.3, 13.2)  # of the figure, in cells
OFFSET = (0.5, 1.7)  # from the corner of the shirt's middle cell to the middle of the figure, in cells


def tensor(name: str, values: object, shape: tuple[int, ...]) -> onnx.TensorProto:
    return numpy_helper.from_array(np.broadcast_to(np.asarray(values, np.float32), shape).copy(), name)


def conv(source: str, out: str, pads: tuple[int, int] = (0, 0)) -> onnx.NodeProto:
    inputs = [source, f"{out}_w", f"{out}_b"]
    return helper.make_node("Conv", inputs, [out], name=out, pads=[*pads, *pads])


def make() -> onnx.ModelProto:
    """The model: image [1,3,96,128] in BGR, 0 to 255; outputs heat [1,1,24,32], size and offset [1,2,24,32]."""
    grid = (HEIGHT // STRIDE, WIDTH // STRIDE)
    nodes = [
        conv("image", "shirt"),
        helper.make_node("Sigmoid", ["shirt"], ["mask"], name="mask"),
        helper.make_node(
            "AveragePool", ["mask"], ["cells"], name="cells", kernel_shape=[STRIDE, STRIDE], strides=[STRIDE, STRIDE]
        ),
        conv("cells", "box", (2, 1)),
        helper.make_node("Sigmoid", ["box"], ["heat"], name="heat"),
        conv("cells", "size"),
        conv("cells", "offset"),
    ]
    weights = [
        tensor("shirt_w", np.reshape([0.2, 0.0, -0.2], (1, 3, 1, 1)), (1, 3, 1, 1)),
        tensor("shirt_b", -12.0, (1,)),
        tensor("box_w", 12.0 / 15, (1, 1, 5, 3)),
        tensor("box_b", -6.0, (1,)),
        tensor("size_w", 0.0, (2, 1, 1, 1)),
        tensor("size_b", SIZE, (2,)),
        tensor("offset_w", 0.0, (2, 1, 1, 1)),
        tensor("offset_b", OFFSET, (2,)),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])
    outputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, *grid]) for n, c in (("heat", 1), ("size", 2), ("offset", 2))
    ]
    graph = helper.make_graph(nodes, "door", [image], outputs, weights)
    return helper.make_model(graph, producer_name="tody examples", ir_version=8, opset_imports=[helper.make_opsetid("", 13)])


if __name__ == "__main__":
    model = make()
    onnx.checker.check_model(model)
    Path(__file__).with_name("door.onnx").write_bytes(model.SerializeToString(deterministic=True))
