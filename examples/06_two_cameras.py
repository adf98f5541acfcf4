"""Two cameras, one model: a clone shares the weights. 06_two_cameras.py door.tody fake://door fake://shapes"""

# SPDX-License-Identifier: Apache-2.0
import sys
from concurrent.futures import ThreadPoolExecutor

import tody

model = tody.load(sys.argv[1], threads=1)


def watch(source: str) -> str:
    detect = tody.Detector(model.clone())
    with tody.Camera(source) as camera:
        seen = sum(len(detect(frame)) > 0 for frame in camera)
        return f"{source}: something in {seen} of {camera.index + 1} frames"


with ThreadPoolExecutor() as pool:
    for line in pool.map(watch, sys.argv[2:]):
        print(line)
