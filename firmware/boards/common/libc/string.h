// string.h - the functions that the runtime and compilers ask for, where no C library is linked.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_STRING_H
#define TODY_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
int strcmp(const char *a, const char *b);
size_t strlen(const char *text);

#endif
