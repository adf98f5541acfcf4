// string.c - memory functions; words where both sides are aligned. Compiled so that loops do not become calls of themselves.
// SPDX-License-Identifier: Apache-2.0
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static bool aligned(const void *a, const void *b) { return (((uintptr_t)a | (uintptr_t)b) & 3) == 0; }

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
    uint8_t *y = to;
    const uint8_t *x = from;
    if (aligned(to, from)) {
        for (; bytes >= 4; bytes -= 4, x += 4, y += 4) *(uint32_t *)(void *)y = *(const uint32_t *)(const void *)x;
    }
    while (bytes--) *y++ = *x++;
    return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
    uint8_t *y = to;
    const uint8_t *x = from;
    if ((uintptr_t)y - (uintptr_t)x >= bytes) return memcpy(to, from, bytes);  // from before to, or apart
    while (bytes--) y[bytes] = x[bytes];
    return to;
}

void *memset(void *to, int value, size_t bytes) {
    uint8_t *y = to;
    const uint32_t word = 0x01010101u * (uint8_t)value;
    if (aligned(to, to)) {
        for (; bytes >= 4; bytes -= 4, y += 4) *(uint32_t *)(void *)y = word;
    }
    while (bytes--) *y++ = (uint8_t)value;
    return to;
}

int memcmp(const void *a, const void *b, size_t bytes) {
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < bytes; i++) {
        if (x[i] != y[i]) return x[i] - y[i];
    }
    return 0;
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return (uint8_t)*a - (uint8_t)*b;
}

size_t strlen(const char *text) {
    const char *end = text;
    while (*end) end++;
    return (size_t)(end - text);
}
