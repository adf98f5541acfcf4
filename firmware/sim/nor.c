// nor.c - erase and program memory by the rules of NOR flash.
// SPDX-License-Identifier: Apache-2.0
#include "nor.h"

#include <string.h>

bool nor_read(void *memory, uint32_t at, void *to, uint32_t bytes) {
    memcpy(to, (const uint8_t *)memory + at, bytes);
    return true;
}

bool nor_erase(void *memory, uint32_t at) {
    volatile uint32_t *words = (uint32_t *)memory + at / 4;
    if (at % NOR_ERASE_BYTES) return false;
    for (uint32_t i = 0; i < NOR_ERASE_BYTES / 4; i++) words[i] = 0xFFFFFFFF;
    return true;
}

bool nor_program(void *memory, uint32_t at, const uint8_t *data, uint32_t bytes) {
    volatile uint32_t *words = (uint32_t *)memory + at / 4;
    if (at % NOR_WRITE_BYTES || bytes % NOR_WRITE_BYTES) return false;
    for (uint32_t i = 0; i < bytes / 4; i++) {
        uint32_t word;
        memcpy(&word, data + 4 * i, 4);
        if (words[i] != 0xFFFFFFFF) return false;
        if (word != 0xFFFFFFFF) words[i] = word;
    }
    return true;
}
