"""Load a model and run it once: 01_hello_model.py door.tody"""

# SPDX-License-Identifier: Apache-2.0
import sys

import numpy as np

import tody

model = tody.load(sys.argv[1])
print(model)

inputs = {port.name: np.zeros(port.shape, port.dtype) for port in model.inputs}
result = model(inputs)
outputs = result if isinstance(result, dict) else {model.outputs[0].name: result}
for name, array in outputs.items():
    print(name, array.shape, array.dtype, array.mean())
