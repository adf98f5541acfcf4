"""Compress a model to int8 with frames of its camera, and see what that costs: 08_make_it_smaller.py data/door.onnx out.tody"""

# SPDX-License-Identifier: Apache-2.0
import sys

import tody

how = {"pixels": "bgr", "mean": 0, "std": 1, "fit": "stretch"}
with tody.Camera("fake://door?frames=120") as camera:
    report = tody.compress(sys.argv[1], camera, arithmetic="int8", decoder="centernet", preprocess=how, labels=["person"])
report.save(sys.argv[2])
print(report)
print(f"the worst layer has {report.worst_layers[0].sqnr_db:.1f} dB")
