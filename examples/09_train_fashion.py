"""Teach a small network what a large one knows, in int8, whole and half pruned: 09_train_fashion.py [pictures]"""

# SPDX-License-Identifier: Apache-2.0
import sys

from torch import manual_seed, nn

from tody import train


def unit(taken: int, made: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(taken, made, 3, stride, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU())


def net(w: int) -> nn.Sequential:
    body = unit(1, w, 2), unit(w, 2 * w, 2), unit(2 * w, 4 * w, 1), unit(4 * w, 6 * w, 2)
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6 * w, 10))


manual_seed(1)
data, test = train.fashion_mnist(most=int(sys.argv[1]) if len(sys.argv) > 1 else None)
teacher, student = net(32), net(16)
for module in (teacher, student):
    train.fit(module, data, epochs=3)
small = train.fine_tune(student, data, teacher=teacher, epochs=4, test=test, coded=True)
smallest = train.fine_tune(student, data, teacher=teacher, epochs=4, test=test, coded=True, prune=0.5)
for name, report in (("distilled, int8", small), ("pruned 50 %, distilled, int8", smallest)):
    points, share = -100 * report.accuracy.drop, report.after.file_bytes / report.before.file_bytes - 1
    print(f"{name:30} top-1 {report.accuracy.after:.2%} ({points:+.2f} points), {report.after.file_bytes} bytes ({share:+.1%})")
smallest.save("fashion.tody")
