"""Convert an ONNX model of your own and look at what became of it: 05_convert_yours.py data/door.onnx out.tody"""

# SPDX-License-Identifier: Apache-2.0
import sys

import tody

report = tody.convert(
    sys.argv[1],
    sys.argv[2],
    decoder="centernet",
    labels=["person"],
    preprocess={"pixels": "bgr", "mean": 0, "std": 1, "fit": "stretch"},
)
print(report)
print(f"largest difference from the source: {report.max_error:.1e} of an output's range")
print(f"its own test: {tody.load(sys.argv[2]).self_test():.1e}")
