# Toolchain file: build for Linux with glibc 2.17 or newer on another CPU, by zig as the compiler (make wheels).
# SPDX-License-Identifier: Apache-2.0
#
# Environment: ZIG, the path of the zig program; TODY_ARCH, x86_64 or aarch64.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR $ENV{TODY_ARCH})

# CMake wants programs, zig has subcommands.
foreach(tool "cc -target $ENV{TODY_ARCH}-linux-gnu.2.17" ar ranlib)
  string(REGEX MATCH "^[a-z]+" name ${tool})
  file(WRITE ${CMAKE_BINARY_DIR}/zig-${name} "#!/bin/sh\nexec \"$ENV{ZIG}\" ${tool} \"$@\"\n")
  file(CHMOD ${CMAKE_BINARY_DIR}/zig-${name} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endforeach()
set(CMAKE_C_COMPILER ${CMAKE_BINARY_DIR}/zig-cc)
set(CMAKE_AR ${CMAKE_BINARY_DIR}/zig-ar CACHE FILEPATH "")
set(CMAKE_RANLIB ${CMAKE_BINARY_DIR}/zig-ranlib CACHE FILEPATH "")
