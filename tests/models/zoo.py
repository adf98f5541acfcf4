"""The benchmark's architectures, true in structure, small in width and size, with seeded random weights."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

import numpy as np
from net import Net

import onnx

Act = Callable[[Net, str], str]


def relu(net: Net, x: str) -> str:
    return str(net.op("Relu", x))


def silu(net: Net, x: str) -> str:
    return str(net.op("Mul", x, net.op("Sigmoid", x)))


def hard_swish(net: Net, x: str) -> str:
    return str(net.op("Div", net.op("Mul", x, net.relu6(net.op("Add", x, net.number(3)))), net.number(6)))


def unit(net: Net, x: str, taken: int, made: int, kernel: int, stride: int = 1, group: int = 1, act: Act | None = relu) -> str:
    """Convolution, batch normalization, activation."""
    y = net.norm(net.conv(x, taken, made, kernel, stride, group, bias=False), made)
    return y if act is None else act(net, y)


def separable(net: Net, size: int, widths: list[tuple[int, int]], classes: int, channels: int = 3) -> onnx.ModelProto:
    """MobileNetV1: depthwise and pointwise convolutions in turn."""
    width = widths[0][0]
    x = unit(net, net.input(1, channels, size, size), channels, width, 3, 2)
    for made, stride in widths[1:]:
        x = unit(net, unit(net, x, width, width, 3, stride, width), width, made, 1)
        width = made
    return net.model(net.op("Softmax", net.dense(net.flat(x), width, classes), axis=-1))


def squeeze(net: Net, x: str, width: int) -> str:
    """Squeeze and excitation."""
    s = net.op("Relu", net.conv(net.op("GlobalAveragePool", x), width, 8))
    return str(net.op("Mul", net.op("HardSigmoid", net.conv(s, 8, width), alpha=1 / 6, beta=0.5), x))


def inverted(net: Net, x: str, taken: int, made: int, kernel: int, stride: int, act: Act, excite: bool = False) -> str:
    """Inverted residual block."""
    wide = 4 * taken
    y = unit(net, unit(net, x, taken, wide, 1, act=act), wide, wide, kernel, stride, wide, act)
    y = unit(net, squeeze(net, y, wide) if excite else y, wide, made, 1, act=None)
    return str(net.op("Add", x, y)) if stride == 1 and taken == made else y


def inverted_net(size: int, act: Act, blocks: list[tuple[int, int, int, bool]], seed: int) -> onnx.ModelProto:
    net, width = Net(seed), 8
    x = unit(net, net.input(1, 3, size, size), 3, width, 3, 2, act=act)
    for made, kernel, stride, excite in blocks:
        x, width = inverted(net, x, width, made, kernel, stride, act, excite), made
    x = unit(net, x, width, 64, 1, act=act)
    return net.model(net.dense(net.flat(x), 64, 10))


def mobilenet_v1() -> onnx.ModelProto:
    return separable(Net(1), 64, [(8, 2), (16, 1), (24, 2), (24, 1), (40, 2)], 20)


def mobilenet_v2() -> onnx.ModelProto:
    return inverted_net(64, Net.relu6, [(8, 3, 1, False), (16, 3, 2, False), (16, 3, 1, False)], 2)


def mobilenet_v3_small() -> onnx.ModelProto:
    return inverted_net(64, hard_swish, [(16, 3, 2, True), (24, 5, 1, False), (24, 5, 1, True)], 3)


def mobilenet_v3_large() -> onnx.ModelProto:
    return inverted_net(64, hard_swish, [(16, 3, 1, False), (24, 5, 2, True), (24, 5, 1, True), (40, 3, 2, False)], 4)


def efficientnet_lite0() -> onnx.ModelProto:
    return inverted_net(56, Net.relu6, [(8, 3, 1, False), (24, 5, 2, False), (24, 5, 1, False)], 5)


def residual(net: Net, x: str, taken: int, made: int, stride: int, bottleneck: bool) -> str:
    if bottleneck:
        y = unit(net, unit(net, x, taken, made // 4, 1), made // 4, made // 4, 3, stride)
        y = unit(net, y, made // 4, made, 1, act=None)
    else:
        y = unit(net, unit(net, x, taken, made, 3, stride), made, made, 3, act=None)
    if stride != 1 or taken != made:
        x = unit(net, x, taken, made, 1, stride, act=None)
    return relu(net, str(net.op("Add", y, x)))


def resnet18() -> onnx.ModelProto:
    net = Net(6)
    x = unit(net, net.input(1, 3, 64, 64), 3, 16, 7, 2)
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for taken, made, stride in ((16, 16, 1), (16, 32, 2), (32, 32, 1)):
        x = residual(net, x, taken, made, stride, bottleneck=False)
    return net.model(net.dense(net.flat(x), 32, 10))


def resnet50() -> onnx.ModelProto:
    net = Net(7)
    x = unit(net, net.input(1, 3, 64, 64), 3, 16, 7, 2)
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for taken, made, stride in ((16, 64, 1), (64, 64, 1), (64, 128, 2)):
        x = residual(net, x, taken, made, stride, bottleneck=True)
    return net.model(net.dense(net.flat(x), 128, 10))


def ic_resnet8() -> onnx.ModelProto:
    net = Net(8)
    x = unit(net, net.input(1, 3, 32, 32), 3, 16, 3)
    for taken, made, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        x = residual(net, x, taken, made, stride, bottleneck=False)
    return net.model(net.op("Softmax", net.dense(net.flat(x), 64, 10), axis=1))


def squeezenet_1_1() -> onnx.ModelProto:
    net = Net(9)
    x = net.op("Relu", net.conv(net.input(1, 3, 64, 64), 3, 16, 3, 2))
    taken = 16
    for narrow, wide in ((8, 16), (8, 24)):
        x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
        s = net.op("Relu", net.conv(x, taken, narrow))
        parts = [net.op("Relu", net.conv(s, narrow, wide)), net.op("Relu", net.conv(s, narrow, wide, 3))]
        x, taken = net.op("Concat", *parts, axis=1), 2 * wide
    x = net.op("Relu", net.conv(net.op("Identity", x), taken, 10))
    return net.model(net.flat(x))


def vww_mbv1_025() -> onnx.ModelProto:
    return separable(Net(10), 48, [(8, 2), (8, 1), (16, 2), (16, 1), (32, 2)], 2)


def kws_dscnn() -> onnx.ModelProto:
    """Keyword spotting: one channel, a rectangular kernel, uneven padding."""
    net = Net(11)
    x = net.op("Pad", net.input(1, 1, 49, 10), net.constant(np.array([0, 0, 4, 1, 0, 0, 5, 1])), net.number(0))
    x = net.op("Relu", net.op("Conv", x, net.floats(16, 1, 10, 4, scale=0.2), net.floats(16), strides=[2, 2]))
    for _ in range(2):
        x = unit(net, unit(net, x, 16, 16, 3, 1, 16), 16, 16, 1)
    return net.model(net.op("Softmax", net.dense(net.flat(x), 16, 12), axis=-1))


def ssdlite_mbv2_300() -> onnx.ModelProto:
    """SSD heads: each map is transposed, reshaped and joined with the others."""
    net = Net(12)
    x = unit(net, net.input(1, 3, 60, 60), 3, 16, 3, 2, act=Net.relu6)
    maps = [inverted(net, x, 16, 24, 3, 2, Net.relu6)]
    maps.append(inverted(net, maps[0], 24, 32, 3, 2, Net.relu6))
    scores, boxes = [], []
    for x, width in zip(maps, (24, 32), strict=True):
        for found, made in ((scores, 7), (boxes, 4)):
            y = net.conv(unit(net, x, width, width, 3, 1, width, Net.relu6), width, 6 * made)
            y = net.op(
                "Transpose", net.op("Reshape", y, net.constant(np.array([1, 6, made, 0, -1])[[0, 1, 2, 4]])), perm=[0, 3, 1, 2]
            )
            found.append(net.op("Reshape", y, net.constant(np.array([1, -1, made]))))
    scored = net.op("Softmax", net.op("Concat", *scores, axis=1), axis=-1)
    return net.model(scored, net.op("Concat", *boxes, axis=1))


def c2f(net: Net, x: str, taken: int, made: int, add: bool) -> str:
    """YOLOv8's block: a convolution split in two, a bottleneck, all parts joined."""
    half = made // 2
    a, b = net.op("Split", unit(net, x, taken, made, 1, act=silu), outputs=2, axis=1)
    y = unit(net, unit(net, b, half, half, 3, act=silu), half, half, 3, act=silu)
    y = net.op("Add", b, y) if add else y
    return unit(net, str(net.op("Concat", a, b, y, axis=1)), 3 * half, made, 1, act=silu)


def yolov8n_320() -> onnx.ModelProto:
    net = Net(13)
    x = unit(net, net.input(1, 3, 64, 64), 3, 16, 3, 2, act=silu)
    maps = []
    for _ in range(3):
        x = c2f(net, unit(net, x, 16 if not maps else 32, 32, 3, 2, act=silu), 32, 32, add=True)
        maps.append(x)
    p = net.op("MaxPool", x, kernel_shape=[5, 5], strides=[1, 1], pads=[2, 2, 2, 2])
    x = unit(net, str(net.op("Concat", x, p, axis=1)), 64, 32, 1, act=silu)
    up = net.op("Resize", x, "", net.constant(np.array([1, 1, 2, 2], np.float32)), mode="nearest")
    maps[1:] = [c2f(net, net.op("Concat", up, maps[1], axis=1), 64, 32, add=False), x]
    heads = []
    for m in maps:
        box, score = net.conv(unit(net, m, 32, 32, 3, act=silu), 32, 64), net.conv(unit(net, m, 32, 16, 3, act=silu), 16, 5)
        heads.append(net.op("Reshape", net.op("Concat", box, score, axis=1), net.constant(np.array([1, 69, -1]))))
    return net.model(detection(net, str(net.op("Concat", *heads, axis=2))))


def detection(net: Net, x: str) -> str:
    """YOLOv8's last part: the expectation over bins, boxes from distances, scores."""
    cells = 16 * 16 + 8 * 8 + 4 * 4
    box, score = net.op("Split", x, net.constant(np.array([64, 5])), outputs=2, axis=1)
    box = net.op("Transpose", net.op("Reshape", box, net.constant(np.array([1, 4, 16, cells]))), perm=[0, 2, 1, 3])
    box = net.op("Conv", net.op("Softmax", box, axis=1), net.constant(np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1)))
    box = net.op("Reshape", box, net.constant(np.array([1, 4, cells])))
    low, high = net.op("Split", box, outputs=2, axis=1)
    centres = net.floats(1, 2, cells, scale=5.0)
    low, high = net.op("Sub", centres, low), net.op("Add", centres, high)
    middle = net.op("Div", net.op("Add", low, high), net.number(2))
    box = net.op("Mul", net.op("Concat", middle, net.op("Sub", high, low), axis=1), net.floats(1, cells, shift=8.0))
    return str(net.op("Concat", box, net.op("Sigmoid", score), axis=1))


def layer_norm(net: Net, x: str, width: int) -> str:
    """LayerNorm as exporters spelt it before opset 17."""
    d = net.op("Sub", x, net.op("ReduceMean", x, axes=[-1]))
    v = net.op("ReduceMean", net.op("Pow", d, net.number(2)), axes=[-1])
    y = net.op("Div", d, net.op("Sqrt", net.op("Add", v, net.number(1e-5))))
    return str(net.op("Add", net.op("Mul", y, net.floats(width, shift=1.0)), net.floats(width)))


def gelu(net: Net, x: str) -> str:
    y = net.op("Add", net.op("Erf", net.op("Div", x, net.number(2**0.5))), net.number(1))
    return str(net.op("Mul", net.op("Mul", x, y), net.number(0.5)))


def linear(net: Net, x: str, taken: int, made: int) -> str:
    return str(net.op("Add", net.op("MatMul", x, net.floats(taken, made, scale=taken**-0.5)), net.floats(made, scale=0.1)))


def vit_tiny() -> onnx.ModelProto:
    net, width, heads, tokens = Net(14), 48, 3, 17
    x = net.op("Conv", net.input(1, 3, 32, 32), net.floats(width, 3, 8, 8, scale=0.1), net.floats(width), strides=[8, 8])
    x = net.op("Transpose", net.op("Reshape", x, net.constant(np.array([1, width, 16]))), perm=[0, 2, 1])
    x = net.op("Add", net.op("Concat", net.floats(1, 1, width), x, axis=1), net.floats(1, tokens, width))
    for _ in range(2):
        qkv = net.op(
            "Reshape",
            linear(net, layer_norm(net, x, width), width, 3 * width),
            net.constant(np.array([1, tokens, 3, heads, 16])),
        )
        qkv = net.op("Transpose", qkv, perm=[2, 0, 3, 1, 4])
        q, k, v = (net.op("Gather", qkv, net.constant(np.array(i)), axis=0) for i in range(3))
        scores = net.op("MatMul", net.op("Mul", q, net.number(0.25)), net.op("Transpose", k, perm=[0, 1, 3, 2]))
        y = net.op("Transpose", net.op("MatMul", net.op("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        x = net.op("Add", x, linear(net, net.op("Reshape", y, net.constant(np.array([1, tokens, width]))), width, width))
        y = linear(net, gelu(net, linear(net, layer_norm(net, x, width), width, 2 * width)), 2 * width, width)
        x = net.op("Add", x, y)
    first = net.op("Gather", layer_norm(net, x, width), net.constant(np.array(0)), axis=1)
    return net.model(net.dense(first, width, 10))


def style_256() -> onnx.ModelProto:
    """Style transfer: reflected borders, instance norm, resize."""
    net = Net(15)

    def block(x: str, taken: int, made: int, kernel: int, stride: int = 1, active: bool = True) -> str:
        half = kernel // 2
        x = net.op("Pad", x, net.constant(np.array([0, 0, half, half, 0, 0, half, half])), mode="reflect")
        x = net.op("Conv", x, net.floats(made, taken, kernel, kernel, scale=0.2), net.floats(made), strides=[stride] * 2)
        x = net.op("InstanceNormalization", x, net.floats(made, shift=1.0), net.floats(made))
        return str(net.op("Relu", x)) if active else x

    x = block(block(net.input(1, 3, 32, 32), 3, 8, 9), 8, 16, 3, 2)
    x = net.op("Add", x, block(block(x, 16, 16, 3), 16, 16, 3, active=False))
    x = net.op("Resize", x, "", net.constant(np.array([1, 1, 2, 2], np.float32)), mode="nearest", nearest_mode="floor")
    return net.model(block(x, 16, 8, 3))


def lstm() -> onnx.ModelProto:
    net, hidden = Net(16), 12
    x = net.op("Transpose", net.input(1, 10, 6), perm=[1, 0, 2])
    weights = [
        net.floats(1, 4 * hidden, 6, scale=0.3),
        net.floats(1, 4 * hidden, hidden, scale=0.3),
        net.floats(1, 8 * hidden, scale=0.1),
    ]
    y = net.op("Squeeze", net.op("LSTM", x, *weights, outputs=3, hidden_size=hidden)[0], net.constant(np.array([1])))
    last = net.op("Gather", y, net.constant(np.array(-1)), axis=0)
    return net.model(net.dense(last, hidden, 5))


def shufflenet() -> onnx.ModelProto:
    """Channel shuffle, which the layout pass makes one copy."""
    net = Net(17)
    x = unit(net, net.input(1, 3, 32, 32), 3, 32, 3, 2)
    for _ in range(2):
        a, b = net.op("Split", x, outputs=2, axis=1)
        b = unit(net, unit(net, b, 16, 16, 1), 16, 16, 3, 1, 16, act=None)
        x = net.op("Concat", a, unit(net, b, 16, 16, 1), axis=1)
        x = net.op("Transpose", net.op("Reshape", x, net.constant(np.array([1, 2, 16, 16, 16]))), perm=[0, 2, 1, 3, 4])
        x = net.op("Reshape", x, net.constant(np.array([1, 32, 16, 16])))
    return net.model(net.dense(net.flat(unit(net, x, 32, 32, 1)), 32, 10))


def centerface() -> onnx.ModelProto:
    """Transposed convolutions, lateral connections, four heads."""
    net = Net(18)
    maps = [unit(net, net.input(1, 3, 32, 32), 3, 16, 3, 2)]
    maps.append(unit(net, maps[0], 16, 24, 3, 2))
    x = net.norm(net.op("ConvTranspose", maps[1], net.floats(24, 24, 2, 2, scale=0.2), strides=[2, 2]), 24)
    x = net.op("Add", net.op("Relu", x), unit(net, maps[0], 16, 24, 1))
    heads = [net.conv(x, 24, made) for made in (1, 2, 2, 10)]
    return net.model(net.op("Sigmoid", heads[0]), *heads[1:])


MODELS: list[Callable[[], onnx.ModelProto]] = [
    centerface,
    efficientnet_lite0,
    ic_resnet8,
    kws_dscnn,
    lstm,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3_large,
    mobilenet_v3_small,
    resnet18,
    resnet50,
    shufflenet,
    squeezenet_1_1,
    ssdlite_mbv2_300,
    style_256,
    vit_tiny,
    vww_mbv1_025,
    yolov8n_320,
]
ZOO = {make.__name__: make for make in MODELS}
