"""Where the time goes: 07_profile.py door.tody"""

# SPDX-License-Identifier: Apache-2.0
import sys

import tody

model = tody.load(sys.argv[1], threads=1)
model.input(0)[...] = 0
rows = model.profile(runs=20)
for row in sorted(rows, key=lambda r: -r.ms)[:5]:
    print(f"{row.op:10} {row.shape!s:20} {row.ms:8.3f} ms {100 * row.share:5.1f}%")
print(f"{sum(r.ms for r in rows):.3f} ms in all")
