#!/bin/sh
# Build the C runtime and its POSIX port with one compiler and every warning an error: warnings.sh COMPILER
# SPDX-License-Identifier: Apache-2.0
cc=$1
cd "$(dirname "$0")/.." || exit 1
for tool in "$cc" cmake; do
    command -v "$tool" >/dev/null || { echo "no $tool: warnings of $cc not checked"; exit 0; }
done
mkdir -p build/tests
build=build/tests/warnings-$cc
{ cmake -S runtime -B "$build" -DCMAKE_C_COMPILER="$cc" -DTODY_WERROR=ON -DCMAKE_BUILD_TYPE=Release && cmake --build "$build" -j 2; } \
    >"$build.log" 2>&1 || { grep -E 'error|CMake' "$build.log" || cat "$build.log"; exit 1; }
