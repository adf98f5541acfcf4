// cut.c - operations of a flash that may be interrupted.
// SPDX-License-Identifier: Apache-2.0
#include "cut.h"

#include <stdlib.h>
#include <string.h>

uint32_t cut_random(cut_flash *cut) {
    cut->random = cut->random * 6364136223846793005u + 1442695040888963407u;  // Knuth, MMIX
    return (uint32_t)(cut->random >> 33);
}

// Byte i of n of an operation that turns `old` into `new`, cut off.
static uint8_t torn(cut_flash *cut, uint32_t i, uint32_t n, uint8_t old, uint8_t new, uint32_t word) {
    switch (cut->mode) {
        case CUT_FIRST: return i < n / 2 ? new : old;
        case CUT_LAST: return i < n / 2 ? old : new;
        case CUT_WORDS: return word & 1 ? new : old;
        case CUT_BITS: return (uint8_t)(old ^ ((old ^ new) & cut_random(cut)));
        case CUT_AFTER: return new;
        default: return old;
    }
}

// Do an operation of which `data` (NULL: erased bytes) is the outcome.
static bool operate(cut_flash *cut, uint32_t at, const uint8_t *data, uint32_t bytes) {
    const bool now = cut->operations++ == cut->cut_at;
    uint32_t word = 0;
    if (now && cut->mode == CUT_FAILURE) return false;
    for (uint32_t i = 0; i < bytes; i++) {
        if (i % cut->flash.write_bytes == 0) word = cut_random(cut);
        uint8_t *byte = &cut->memory[at + i];
        const uint8_t new = data ? data[i] : 0xFF;
        *byte = now ? torn(cut, i, bytes, *byte, new, word) : new;
    }
    if (now) longjmp(*cut->power, 1);
    return true;
}

static bool refuse(cut_flash *cut, const char *why) {
    cut->dead = true;
    cut->why = why;
    return false;
}

static bool read(void *self, uint32_t at, void *to, uint32_t bytes) {
    cut_flash *cut = self;
    if (at > cut->flash.size || bytes > cut->flash.size - at) return refuse(cut, "read outside");
    memcpy(to, cut->memory + at, bytes);
    return true;
}

static bool erase(void *self, uint32_t at) {
    cut_flash *cut = self;
    if (at % cut->flash.erase_bytes || at >= cut->flash.size) return refuse(cut, "erase outside of a block");
    cut->wear[at / cut->flash.erase_bytes]++;
    return operate(cut, at, NULL, cut->flash.erase_bytes);
}

static bool program(void *self, uint32_t at, const uint8_t *data, uint32_t bytes) {
    cut_flash *cut = self;
    const uint32_t unit = cut->flash.write_bytes;
    if (at % unit || bytes % unit || at % TODY_FLASH_PAGE + bytes > TODY_FLASH_PAGE) return refuse(cut, "program unaligned");
    if (at > cut->flash.size || bytes > cut->flash.size - at) return refuse(cut, "program outside");
    for (uint32_t i = 0; i < bytes; i++) {
        if (cut->memory[at + i] != 0xFF) return refuse(cut, "program what is not erased");
    }
    return operate(cut, at, data, bytes);
}

void cut_make(cut_flash *cut, uint32_t erase_bytes, uint32_t write_bytes, uint32_t blocks) {
    const uint32_t size = erase_bytes * blocks;
    *cut = (cut_flash){.flash = {size, erase_bytes, write_bytes, cut, read, erase, program}, .cut_at = UINT32_MAX, .random = 1};
    cut->memory = malloc(size);
    cut->wear = calloc(blocks, sizeof *cut->wear);
    if (!cut->memory || !cut->wear) abort();
    for (uint32_t i = 0; i < size; i++) cut->memory[i] = (uint8_t)cut_random(cut);
}

void cut_free(cut_flash *cut) {
    free(cut->memory);
    free(cut->wear);
}

void cut_copy(cut_flash *to, const cut_flash *from) { memcpy(to->memory, from->memory, from->flash.size); }
