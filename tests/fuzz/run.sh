#!/bin/sh
# run.sh - build the fuzzer and run COUNT mutations from number FIRST on: run.sh [COUNT [FIRST]]
# SPDX-License-Identifier: Apache-2.0
set -e
cd "$(dirname "$0")/../.."
build=build/fuzz
mkdir -p "$build"
cmake -S tests/fuzz -B "$build" >"$build/log" || { cat "$build/log"; exit 1; }
cmake --build "$build" -j 2 --target vision link unpack mutate >"$build/log" || { cat "$build/log"; exit 1; }
PYTHONPATH=sdk "${PYTHON:-python3}" tests/fuzz/seeds.py "$build/seeds"
"$build/vision" 300000
"$build/link" 1000000 "${2:-1}" "$build"/seeds/*.tody
"$build/unpack" 300000 "${2:-1}" "$build"/seeds/*.coded
exec "$build/mutate" "${1:-1000000}" "${2:-1}" "$build"/seeds/*.tody
