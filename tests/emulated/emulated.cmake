# The x86 kernel sets beyond AVX2, compiled for AVX2 with this folder's <immintrin.h>; -O2 takes half the time of -O3.
# SPDX-License-Identifier: Apache-2.0
set(TODY_EMULATED_CPU ${CMAKE_CURRENT_LIST_DIR}/cpu.c)  # a program's own function comes before a library's
target_include_directories(tody BEFORE PRIVATE ${CMAKE_CURRENT_LIST_DIR})
target_compile_options(tody PRIVATE -Wno-psabi)  # vectors of 64 bytes are given to inlined functions only
get_target_property(sources tody SOURCES)
foreach(source IN LISTS sources)
  if(source MATCHES "_avxvnni\\.c$")
    set(options -O2 -mavx2 -mfma)
  elseif(source MATCHES "_(avx512|avx512vnni|amx)\\.c$")
    set(options -O2 -mavx2 -mfma -D__AVX512F__)
  else()
    continue()
  endif()
  set_source_files_properties(${source} TARGET_DIRECTORY tody PROPERTIES COMPILE_OPTIONS "${options}")
endforeach()
