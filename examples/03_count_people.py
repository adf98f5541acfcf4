"""Count who is there, second by second: 03_count_people.py door.tody fake://door"""

# SPDX-License-Identifier: Apache-2.0
import sys
from collections import defaultdict

import tody

detect = tody.Detector(sys.argv[1], score=0.6)
most: dict[int, int] = defaultdict(int)
with tody.Camera(sys.argv[2]) as camera:
    for frame in camera:
        second = int(camera.time_s)
        most[second] = max(most[second], len(detect(frame)["person"]))

for second, count in most.items():
    print(f"second {second}: {count} people at most")
