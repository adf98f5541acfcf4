#!/bin/sh
# Build the C runtime, its POSIX port and the firmware with one compiler and every warning an error: warnings.sh COMPILER
# What gcc builds is what the tests link and run (targets.py, firmware/emulate.py), and their own C programs with it.
# SPDX-License-Identifier: Apache-2.0
cc=$1
cd "$(dirname "$0")/.." || exit 1
for tool in "$cc" cmake; do
    command -v "$tool" >/dev/null || { echo "no $tool: warnings of $cc not checked"; exit 0; }
done
mkdir -p build/tests
case $cc in
    gcc) source=tests build=build/tests/programs-$(uname -m) firmware= ;;
    *) source=runtime build=build/tests/warnings-$cc firmware="OPS=all OUT=../build/tests/warnings-$cc-firmware" ;;
esac
{ cmake -S $source -B "$build" -DCMAKE_C_COMPILER="$cc" -DTODY_WERROR=ON -DCMAKE_BUILD_TYPE=Release && cmake --build "$build" -j 2; } \
    >"$build.log" 2>&1 || { grep -E 'error|CMake' "$build.log" || cat "$build.log"; exit 1; }

# The firmware, as it runs on this machine; what is for chips only, if the compiler makes code for them.
make -s -j 2 -C firmware BOARD=host CC="$cc" $firmware >"$build.log" 2>&1 || { grep error "$build.log" || cat "$build.log"; exit 1; }
case $cc in clang*) ;; *) exit 0 ;; esac

# The kernels of ARM, as far as its C headers are there: wheels for it are made by a compiler of this family.
if [ -d /usr/aarch64-linux-gnu/include ]; then
    for file in runtime/kernels/neon/*.c; do
        case $file in *_dot.c) cpu=generic+dotprod ;; *_fp16.c) cpu=generic+fp16 ;; *) cpu=generic ;; esac
        "$cc" --target=aarch64-linux-gnu -mcpu=$cpu -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Werror -fsyntax-only \
            -Iruntime -Iruntime/core -Iruntime/include "$file" || exit 1
    done
fi
cd firmware || exit 1
flags="-std=c11 -Wall -Wextra -Wpedantic -Wconversion -Werror -fsyntax-only -ffreestanding -isystem boards/common/libc
    -I. -I../runtime -I../runtime/include -I../runtime/core"
for file in boards/*/board.c boards/common/*/*.c; do
    case $file in
        boards/host/*) continue ;;
        *riscv*) target="--target=riscv32-none-elf -march=rv32imac_zicsr" ;;
        *) target="--target=thumbv7m-none-eabi" ;;
    esac
    "$cc" $target $flags "$file" || exit 1
done
