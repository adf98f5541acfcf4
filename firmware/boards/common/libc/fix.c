// fix.c - float to int64 by integers: libgcc does it in double precision, whose arithmetic would take 1.5 KB.
// SPDX-License-Identifier: Apache-2.0
#include <stdint.h>
#include <string.h>

#ifdef __ARM_EABI__
#define NAME __aeabi_f2lz
__attribute__((pcs("aapcs"))) int64_t NAME(float x);
#else
#define NAME __fixsfdi
int64_t NAME(float x);
#endif

// Towards zero. What does not fit is undefined in C; here it saturates.
int64_t NAME(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int32_t exponent = (int32_t)(bits >> 23 & 0xFF) - 150;  // x is mantissa * 2^exponent
    const uint64_t mantissa = (bits & 0x7FFFFF) | 0x800000;
    uint64_t value;
    if (exponent >= 40) return bits >> 31 ? INT64_MIN : INT64_MAX;
    if (exponent <= -24) return 0;
    value = exponent < 0 ? mantissa >> -exponent : mantissa << exponent;
    return bits >> 31 ? -(int64_t)value : (int64_t)value;
}
