"""See what a camera sees, in a browser: 02_camera.py door.tody fake://door http://:8080"""

# SPDX-License-Identifier: Apache-2.0
import sys

import tody

detect = tody.Detector(sys.argv[1])
with tody.Camera(sys.argv[2]) as camera, tody.Screen(sys.argv[3]) as screen:
    for frame in camera:
        people = detect(frame)
        screen.show(frame, people)
        print(people)
