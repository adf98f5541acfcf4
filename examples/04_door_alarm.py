"""Say when somebody comes into a zone and when they are gone: 04_door_alarm.py door.tody fake://door"""

# SPDX-License-Identifier: Apache-2.0
import sys

import tody

ZONE = 0.5  # the right half of the picture, where the door is

detect = tody.Detector(sys.argv[1])
there = False
with tody.Camera(sys.argv[2]) as camera:
    for frame in camera:
        found = detect(frame)
        middle = (found.boxes[:, 0] + found.boxes[:, 2]) / 2
        now = bool((middle > ZONE * frame.shape[1]).any())
        if now != there:
            print(f"{camera.time_s:5.1f} s  somebody is {'at the door' if now else 'gone'}")
        there = now
