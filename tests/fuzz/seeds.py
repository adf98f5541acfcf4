"""Small sound models that between them use every operator: what the fuzzer damages.

python seeds.py FOLDER
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from builder import (
    RNG,
    Arena,
    Builder,
    Step,
    Weights,
    arena,
    indices,
    int8_weights,
    int16_bias,
    int32_bias,
    multipliers,
    one,
    panels,
    plain,
    quantised,
    short_multipliers,
    sparse_weights,
    window,
)

from tody import format as tf

SILU, CLAMP = ("silu", 1.0, 0.0), ("clamp", 0.0, 6.0)


def products() -> dict[str, list[Step]]:
    """Operators that multiply, and pooling."""
    same, wide, rows = arena(1, 6, 5, 20), arena(2, 4, 4, 6), arena(3, 18)
    residual = [same, panels(1, 20, 9, 20), panels(1, 20), same]
    heads = arena(2, 20, 7)
    quarters = [arena(5, 64), panels(1, 32, 1, 64, tile=tf.QUARTERS), panels(1, 32), arena(5, 32)]
    return {
        "conv": one("conv", residual, [arena(1, 6, 5, 20)], **window(3, pad=1), activation=SILU),
        "conv_tiles": one("conv", [arena(2, 9, 11, 8), panels(1, 8, 9, 8, tile=4)], [arena(2, 9, 11, 8)], **window(3, pad=1)),
        "conv_tiles_2": one("conv", [same, panels(1, 33, 9, 20, tile=2)], [arena(1, 4, 3, 33)], **window(3), activation=SILU),
        "conv_fleeting": one(
            "conv", [arena(2, 9, 11, 8), panels(1, 8, 9, 8, tile=4 | tf.FLEETING)], [arena(2, 9, 11, 8)], **window(3, pad=1)
        ),
        "conv_phases": one(
            "conv", [arena(1, 11, 12, 36), panels(1, 16, 9, 36, tile=5)], [arena(1, 6, 6, 16)], **window(3, 2, pad=1)
        ),
        "conv_phases_together": one(
            "conv", [arena(1, 12, 9, 12), panels(1, 8, 49, 12, tile=3)], [arena(1, 6, 5, 8)], **window(7, 2, pad=3)
        ),
        "conv_phases_folded": one(
            "conv", [arena(2, 3, 9, 3), panels(1, 8, 49, 3, tile=3)], [arena(2, 2, 5, 8)], **window(7, 2, pad=3)
        ),
        "conv_quarters": one(
            "conv", [arena(1, 9, 9, 32), panels(1, 64, 1, 32, tile=tf.QUARTERS)], [arena(1, 9, 9, 64)], **window(1)
        ),
        "dense_quarters": one("dense", quarters, [arena(5, 32)], activation=SILU),
        "conv_groups": one("conv", [wide, panels(3, 5, 4, 2)], [arena(2, 3, 3, 15)], **window(2), groups=3, activation=CLAMP),
        "conv_1x1": one("conv", [wide, panels(1, 17, 1, 6)], [arena(2, 4, 4, 17)], **window(1)),
        "conv_stride": one("conv", [arena(1, 9, 9, 3), panels(1, 4, 9, 3)], [arena(1, 4, 4, 4)], **window(3, 2, 1, 2)),
        "dwconv": one("dwconv", [same, plain(9, 20), plain(20), same], [arena(1, 6, 5, 20)], **window(3, pad=1), groups=20),
        "dwconv_stride": one("dwconv", [wide, plain(4, 6)], [arena(2, 2, 2, 6)], **window(2, 2), groups=6, activation=SILU),
        "deconv": one("deconv", [wide, panels(2, 4, 9, 3), panels(2, 4)], [arena(2, 8, 8, 8)], **window(3, 2, 1), groups=2),
        "dense": one("dense", [arena(3, 10), panels(1, 18, 1, 10), panels(1, 18), rows], [arena(3, 18)], activation=SILU),
        "matmul": one("matmul", [arena(2, 1, 5, 7), arena(1, 3, 7, 18)], [arena(2, 3, 5, 18)]),
        "matmul_transposed": one("matmul", [arena(2, 5, 7), arena(2, 18, 7)], [arena(2, 5, 18)], transpose_b=1),
        "attention": one("attention", [arena(2, 9, 7), arena(2, 7, 18), arena(1, 18, 5)], [arena(2, 9, 5)]),
        "attention_added": one("attention", [heads, heads, heads, plain(2, 1, 20)], [arena(2, 20, 7)], transpose_k=1),
        "pool_max": one("pool", [same], [arena(1, 3, 3, 20)], **window(3, 2, 1), kind="max"),
        "pool_average": one("pool", [same], [arena(1, 6, 5, 20)], **window(3, pad=1), kind="average", include_pad=1),
        "pool_global": one("pool", [arena(1, 60, 60, 3)], [arena(1, 1, 1, 3)], **window(60), kind="average"),
    }


def pointwise() -> dict[str, list[Step]]:
    """Operators that look at one element at a time."""
    x, condition = arena(2, 3, 40), arena(1, 3, 1, dtype="bool")
    functions = {f"unary_{fn}": one("unary", [x], [arena(2, 3, 40)], function=(fn, 0.5, 2.0)) for fn in tf.FUNCTIONS[1:41]}
    return functions | {
        "unary_not": one("unary", [condition], [arena(1, 3, 1, dtype="bool")], function=("not", 0.0, 0.0)),
        "unary_is_inf": one("unary", [x], [arena(2, 3, 40, dtype="bool")], function=("is_inf", 1.0, 1.0)),
        "binary": one("binary", [x, arena(2, 1, 40)], [arena(2, 3, 40)], fn="pow", activation=CLAMP),
        "binary_inner": one("binary", [x, plain(1, 3, 1)], [arena(2, 3, 40)], fn="prelu"),
        "binary_s32": one("binary", [arena(9, dtype="int32"), arena(9, dtype="int32")], [arena(9, dtype="int32")], fn="mod"),
        "binary_less": one("binary", [x, arena(1, 1, 1)], [arena(2, 3, 40, dtype="bool")], fn="less"),
        "binary_xor": one("binary", [condition, arena(1, 1, 5, dtype="bool")], [arena(1, 3, 5, dtype="bool")], fn="xor"),
        "where": one("where", [condition, x, arena(1, 1, 40)], [arena(2, 3, 40)]),
        "cast_s32": one("cast", [x], [arena(2, 3, 40, dtype="int32")]),
        "cast_u8": one("cast", [x], [arena(2, 3, 40, dtype="uint8")]),
        "cast_s64": one("cast", [arena(7, dtype="int64")], [arena(7)]),
        "cast_f16": one("cast", [arena(7, dtype="float16")], [arena(7)]),
        "cast_to_f16": one("cast", [x], [arena(2, 3, 40, dtype="float16")]),
        "lut": one(
            "lut", [arena(3, 7, dtype="int8"), Weights(RNG.integers(-128, 128, 256, np.int8))], [arena(3, 7, dtype="int8")]
        ),
        "softmax": one("softmax", [x], [arena(2, 3, 40)], axis=2),
        "softmax_middle": one("softmax", [x], [arena(2, 3, 40)], axis=1, log=1),
    }


def movers() -> dict[str, list[Step]]:
    """Operators that move elements."""
    x, image = arena(2, 3, 20), arena(1, 4, 4, 9)
    rows, columns = indices([0, 0], [0, 1], [1, 2], [2, 3], [3, 3]), indices([0], [1], [3])
    return {
        "resize": one("resize", [image, rows, plain(5, 2), columns, plain(3, 1)], [arena(1, 5, 3, 9)]),
        "copy_transpose": one("copy", [x], [arena(20, 3, 2)], stride=(1, 20, 60)),
        "copy_flip": one("copy", [x], [arena(2, 20)], offset=39, stride=(60, -1)),
        "copy_bytes": one("copy", [arena(3, 5, dtype="bool")], [arena(5, 3, dtype="bool")], stride=(1, 5)),
        "concat": one("concat", [x, arena(2, 1, 20), x], [arena(2, 7, 20)], axis=1),
        "pad": one("pad", [x], [arena(3, 4, 26)], mode="constant", before=(1, 1, 2), value=1.0),
        "pad_reflect": one("pad", [x], [arena(2, 5, 26)], mode="reflect", before=(0, 1, 3)),
        "pad_edge": one("pad", [image], [arena(1, 6, 7, 9)], mode="edge", before=(0, 1, 2)),
        "pad_wrap": one("pad", [x], [arena(2, 4, 22)], mode="wrap", before=(0, 1, 1)),
        "gather": one("gather", [x, arena(2, 4, dtype="int32")], [arena(2, 2, 4, 20)], axis=1),
        "gather_constant": one("gather", [x, indices(2, 0, 1)], [arena(2, 3, 20)], axis=1),
    }


def reducers() -> dict[str, list[Step]]:
    """Operators that look at many elements at once."""
    x, image = arena(2, 3, 20), arena(1, 4, 4, 9)
    reductions = {f"reduce_{fn}": one("reduce", [x], [arena(2, 1, 20)], fn=fn, axes=2) for fn in tf.REDUCTIONS}
    return reductions | {
        "reduce_outer": one("reduce", [image], [arena(1, 1, 1, 9)], fn="mean", axes=7),
        "arg_reduce": one("arg_reduce", [x], [arena(2, 3, 1, dtype="int32")], axis=2, last=1),
        "topk": one("topk", [x], [arena(2, 3, 4), arena(2, 3, 4, dtype="int32")], axis=2),
        "topk_middle": one("topk", [x], [arena(2, 2, 20), arena(2, 2, 20, dtype="int32")], axis=1, smallest=1),
        "cumsum": one("cumsum", [x], [arena(2, 3, 20)], axis=1, exclusive=1, reverse=1),
        "layer_norm": one("layer_norm", [x, plain(20), plain(20)], [arena(2, 3, 20)], axis=2, epsilon=1e-5),
        "layer_norm_rms": one("layer_norm", [x, plain(3, 20)], [arena(2, 3, 20)], axis=1, epsilon=1e-5, rms=1),
        "instance_norm": one("instance_norm", [image, plain(9), plain(9)], [arena(1, 4, 4, 9)], epsilon=1e-5, activation=CLAMP),
    }


def recurrents() -> dict[str, list[Step]]:
    """Operators with a state."""
    x, h, y, last = arena(4, 2, 3), arena(2, 2, 5), arena(4, 2, 2, 5), arena(2, 2, 5)
    weights = {gates: [panels(2, gates * 5, 1, 3), panels(2, gates * 5, 1, 5), panels(2, gates * 5)] for gates in (1, 3, 4)}
    lstm = [x, *weights[4], h, arena(2, 2, 5), plain(2, 15)]
    return {
        "lstm": one("lstm", lstm, [y, last, arena(2, 2, 5)], direction="bidirectional"),
        "gru": one("gru", [x, *weights[3], panels(2, 15), h], [y, last], direction="bidirectional", linear_before_reset=1),
        "gru_reset": one("gru", [x, *weights[3], None, None], [y], direction="bidirectional"),
        "rnn": one("rnn", [x, *weights[1], h], [y, last], direction="bidirectional"),
    }


def integers() -> dict[str, list[Step]]:
    """Operators that rescale int8."""
    same, wide, rows = quantised(1, 6, 5, 20), quantised(2, 4, 4, 6, zero=-128), quantised(3, 10)
    m20, addend, relu = multipliers(1, 20, pack="panels"), multipliers(1, near=0.5), ("clamp", -3.0, 127.0)
    conv = [same, int8_weights(1, 20, 9, 20, scales=20), int32_bias(1, 20), quantised(1, 6, 5, 20), m20, addend]
    dwconv = [same, int8_weights(9, 20, pack="plain"), int32_bias(20, pack="plain"), None, multipliers(20)]
    deconv = [wide, int8_weights(2, 4, 9, 3), None, multipliers(2, 4, pack="panels")]
    dense = [rows, int8_weights(1, 18, 1, 10), int32_bias(1, 18), None, multipliers(1, 18, pack="panels")]
    grouped = [wide, int8_weights(3, 5, 4, 2), None, None, multipliers(3, 5, pack="panels")]
    blocks = [quantised(3, 700), sparse_weights(1, 18, 1, 700), int32_bias(1, 18), quantised(3, 18), dense[4], addend]
    average, half = multipliers(9, near=0.2), Weights(np.full((5, 2), 1024, np.int32))
    rounded = Weights(np.array([0.5, 0.8, 135], np.float32))
    slopes, sloped = multipliers(2, 20, pack="panels"), [*dwconv[:4], multipliers(40)]
    short = [*dwconv[:4], short_multipliers(40)]
    table = [indices([0, 0], [0, 1], [1, 2], [2, 3], [3, 3]), half]
    return {
        "s8_conv": one("conv", conv, [quantised(1, 6, 5, 20)], **window(3, pad=1), activation=relu),
        "s8_conv_groups": one("conv", grouped, [quantised(2, 3, 3, 15)], **window(2), groups=3),
        "s8_dwconv": one("dwconv", dwconv, [quantised(1, 6, 5, 20)], **window(3, pad=1), groups=20),
        "s8_deconv": one("deconv", deconv, [quantised(2, 8, 8, 8)], **window(3, 2, 1), groups=2),
        "s8_dense": one("dense", dense, [quantised(3, 18)]),
        "s8_dense_blocks": one("dense", blocks, [quantised(3, 18)]),
        "s8_conv_blocks": one(
            "conv",
            [same, sparse_weights(1, 20, 9, 20), None, None, m20],
            [quantised(1, 6, 5, 20)],
            **window(3, pad=1),
            activation=relu,
        ),
        "s8_matmul": one("matmul", [quantised(2, 5, 7), quantised(1, 7, 18, zero=4), multipliers(1)], [quantised(2, 5, 18)]),
        "s8_pool_max": one("pool", [same], [quantised(1, 3, 3, 20)], **window(3, 2, 1), kind="max"),
        "s8_pool_average": one("pool", [same, average], [quantised(1, 3, 3, 20)], **window(3, 2, 1), kind="average"),
        "s8_mean": one("reduce", [same, multipliers(1, near=0.03)], [quantised(1, 1, 1, 20)], fn="mean", axes=6),
        "s8_max": one("reduce", [same], [quantised(1, 6, 5, 1)], fn="max", axes=8),
        "s8_add": one(
            "binary",
            [same, quantised(1, 1, 1, 20), multipliers(2, near=0.5)],
            [quantised(1, 6, 5, 20)],
            fn="add",
            activation=relu,
        ),
        "s8_mul": one("binary", [same, quantised(1, 6, 5, 1), multipliers(1, near=0.01)], [quantised(1, 6, 5, 20)], fn="mul"),
        "s8_min": one("binary", [same, quantised(1, 1, 1, 20)], [quantised(1, 6, 5, 20)], fn="min"),
        "s8_cast": one("cast", [same, addend], [quantised(1, 6, 5, 20, zero=9)]),
        "s8_conv_slopes": one("conv", [*conv[:4], slopes, addend], [quantised(1, 6, 5, 20)], **window(3, pad=1)),
        "s8_dwconv_slopes": one("dwconv", sloped, [quantised(1, 6, 5, 20)], **window(3, pad=1), groups=20),
        "s8_dwconv_short_slopes": one("dwconv", short, [quantised(1, 6, 5, 20)], **window(3, pad=1), groups=20),
        "s8_conv_rounded": one("conv", [*conv[:5], rounded], [quantised(1, 6, 5, 20)], **window(3, pad=1)),
        "s8_resize": one("resize", [quantised(1, 4, 4, 9), *table, *table], [quantised(1, 5, 5, 9)]),
    }


def shorts() -> dict[str, list[Step]]:
    """Layers of integers with biases and multipliers in 16 bits, or one of them."""
    same, wide, rows, y = quantised(1, 6, 5, 20), quantised(2, 4, 4, 6, zero=-128), quantised(3, 10), quantised(1, 6, 5, 20)
    m20, addend = short_multipliers(1, 20, pack="panels"), multipliers(1, near=0.5)
    w16, y16 = Arena((1, 6, 5, 20), "int16", 0.5), Arena((1, 6, 5, 20), "int16", 0.5)
    conv = [same, int8_weights(1, 20, 9, 20), int16_bias(1, 20, shift=0), quantised(1, 6, 5, 20), m20, addend]
    grouped = [wide, int8_weights(3, 5, 4, 2), int16_bias(3, 5), None, short_multipliers(3, 5, pack="panels")]
    blocks = [same, sparse_weights(1, 20, 9, 20), int16_bias(1, 20, shift=16), None, m20]
    dwconv = [same, int8_weights(9, 20, pack="plain"), int16_bias(20, pack="plain"), None, short_multipliers(20)]
    deconv = [wide, int8_weights(2, 4, 9, 3), int16_bias(2, 4), short_multipliers(2, 4, pack="panels")]
    dense = [rows, int8_weights(1, 18, 1, 10), int16_bias(1, 18), None, multipliers(1, 18, pack="panels")]
    words = Weights(RNG.integers(-999, 999, (1, 20, 9, 20)).astype(np.int16), "panels")
    kept, strip = Arena((1, 6, 5, 20), "int8", 0.5, 5, rows=4), window(3, pad=1)
    chain = one("strips", [], [(end := quantised(1, 6, 5, 20)), arena(4096, dtype="uint8")], count=2, rows=2)
    chain += one("conv", conv, [kept], **strip, groups=1)
    chain += one("dwconv", [kept, *dwconv[1:]], [end], **strip, groups=20)
    return {
        "short_conv": one("conv", conv, [y], **strip, groups=1),
        "short_conv_groups": one("conv", grouped, [quantised(2, 3, 3, 15)], **window(2), groups=3),
        "short_conv_blocks": one("conv", blocks, [y], **strip, groups=1),
        "short_conv_s16": one("conv", [w16, words, int16_bias(1, 20), None, m20], [y16], **strip, groups=1),
        "short_dwconv": one("dwconv", dwconv, [y], **strip, groups=20),
        "short_deconv": one("deconv", deconv, [quantised(2, 8, 8, 8)], **window(3, 2, 1), groups=2),
        "short_dense": one("dense", dense, [quantised(3, 18)]),
        "short_strips": chain,
    }


def network() -> dict[str, list[Step]]:
    """Several operators in a row."""
    x, y, z, pooled = arena(1, 8, 8, 3), arena(1, 4, 4, 8), arena(1, 4, 4, 8), arena(1, 1, 1, 8)
    steps = one("conv", [x, panels(1, 8, 9, 3), panels(1, 8)], [y], **window(3, 2, 1), activation=CLAMP)
    steps += one("dwconv", [y, plain(9, 8), plain(8), y], [z], **window(3, pad=1), groups=8, activation=SILU)
    steps += one("pool", [z], [pooled], **window(4), kind="average")
    flat, logits = arena(1, 8), arena(1, 10)
    steps += one("copy", [pooled], [flat], stride=(8, 1))
    steps += one("dense", [flat, panels(1, 10, 1, 8), panels(1, 10)], [logits])
    return {"network": steps + one("softmax", [logits], [arena(1, 10)], axis=1)}


def chains() -> dict[str, list[Step]]:
    """Operators that run by strips."""
    x, y, s8_x, s8_y = arena(1, 9, 7, 4), arena(1, 5, 4, 4), quantised(1, 9, 7, 4), quantised(1, 9, 7, 4)
    wide, slim, pooled = Arena((1, 9, 7, 12), rows=5), Arena((1, 5, 4, 12), rows=2), Arena((1, 5, 4, 4), rows=4)
    steps = one("strips", [], [y, arena(4096, dtype="uint8")], count=5, rows=2)
    steps += one("conv", [x, panels(1, 12, 1, 4), panels(1, 12)], [wide], **window(1), groups=1, activation=CLAMP)
    steps += one("dwconv", [wide, plain(9, 12)], [slim], **window(3, 2, 1), groups=12, activation=SILU)
    steps += one("conv", [slim, panels(1, 4, 1, 12)], [pooled], **window(1), groups=1)
    steps += one("pool", [pooled], [(larger := Arena((1, 5, 4, 4), rows=2))], **window(3, pad=1), kind="max")
    steps += one("binary", [larger, pooled], [y], fn="add")
    s8_wide, table = Arena((1, 9, 7, 12), "int8", 0.5, -3, rows=6), Weights(RNG.integers(-128, 128, 256, np.int8))
    turned, m12 = Arena((1, 9, 7, 12), "int8", 0.5, 5, rows=6), multipliers(1, 12, pack="panels")
    thin = [turned, int8_weights(1, 4, 9, 12), None, s8_x, multipliers(1, 4, pack="panels"), multipliers(1, near=0.5)]
    s8 = one("strips", [], [s8_y, arena(4096, dtype="uint8")], count=3, rows=4)
    s8 += one("conv", [s8_x, int8_weights(1, 12, 1, 4), int32_bias(1, 12), None, m12], [s8_wide], **window(1), groups=1)
    s8 += one("lut", [s8_wide, table], [turned])
    s8 += one("conv", thin, [s8_y], **window(3, pad=1), groups=1)
    tall = Arena((1, 9, 7, 12), rows=9)
    high = one("strips", [], [(end := arena(1, 9, 7, 12)), arena(4096, dtype="uint8")], count=2, rows=8)
    high += one("dwconv", [arena(1, 9, 7, 12), plain(9, 12)], [tall], **window(3, pad=1), groups=12)
    high += one("dwconv", [tall, plain(25, 12)], [end], **window(5, pad=2), groups=12)
    return {"strips": steps, "s8_strips": s8, "strips_high": high}


def part(whole: Arena, channel: int, channels: int) -> Arena:
    return Arena((*whole.shape[:-1], channels), whole=whole, channel=channel)


def slices() -> dict[str, list[Step]]:
    """Operators that read and write slices of channels."""
    whole, x, same = arena(1, 6, 5, 33), arena(1, 6, 5, 20), window(3, pad=1)
    a, b, c, d = part(whole, 0, 7), part(whole, 7, 12), part(whole, 19, 7), part(whole, 26, 7)
    steps = one("conv", [x, panels(1, 7, 9, 20, tile=4)], [a], **same, activation=SILU)
    steps += one("conv", [x, panels(1, 12, 1, 20)], [b], **window(1))
    steps += one("dwconv", [a, plain(9, 7)], [c], **same, groups=7)
    steps += one("binary", [a, c], [d], fn="add")
    steps += one("unary", [d], [d], function=SILU)
    steps += one("pool", [b], [part(whole, 7, 12)], **same, kind="max")
    steps += one("concat", [b, whole, a], [arena(1, 6, 5, 52)], axis=3)
    image = arena(1, 4, 4, 7)
    enlarge = [image, indices(*[[i // 2] for i in range(6)]), plain(6, 1), indices(*[[i // 2] for i in range(5)]), plain(5, 1)]
    steps += one("resize", enlarge, [part(whole, 0, 7)])
    y, kept = part(arena(1, 9, 7, 20), 3, 12), Arena((1, 9, 7, 12), rows=5)
    chain = one("strips", [], [y, arena(4096, dtype="uint8")], count=2, rows=2)
    chain += one("conv", [part(y.whole or y, 15, 4), panels(1, 12, 1, 4)], [kept], **window(1), groups=1)
    chain += one("dwconv", [kept, plain(9, 12)], [y], **same, groups=12)
    return {"slices": steps, "strips_slices": chain}


def models() -> dict[str, bytes]:
    """Every seed by name."""
    groups = (products, pointwise, movers, reducers, recurrents, integers, chains, network, shorts, slices)
    return {name: Builder().build(steps) for group in groups for name, steps in group().items()}


def coded() -> dict[str, bytes]:
    """Small coded files that between them have every kind of block."""
    bell = np.random.default_rng(2).laplace(0, 9, (1, 40, 1, 50)).round().clip(-127, 127)
    weights = {"int8": bell.astype(np.int8), "float32": (bell / 100).astype(np.float32), "few": (bell / 60).astype(np.int8)}
    weights |= {"int16": (bell * 3).astype(np.int16), "whole": np.tile(bell[:, :32], (1, 1, 1, 2)).astype(np.int16)}
    files = {"operators": tf.read(models()["network"])}
    for name, data in weights.items():
        files[name] = tf.File(weights=tf.pack_panels(data), meta={"name": "a text of its own"}, arena_bytes=64)
        files[name].tensors = [tf.Tensor(str(data.dtype), data.shape, "weights", 0, "panels")]
    files["noise"] = tf.File(weights=np.random.default_rng(3).bytes(500))
    return {name: tf.write(file, coded=True) for name, file in files.items()}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in models().items():
        (folder / f"{name}.tody").write_bytes(data)
    for name, data in coded().items():
        (folder / f"{name}.coded").write_bytes(data)


if __name__ == "__main__":
    main()
