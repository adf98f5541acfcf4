// blocks.h - int8 weights of which only the blocks that are not zero are stored: where their parts lie.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_BLOCKS_H
#define TODY_BLOCKS_H

#include <stddef.h>

#include "format.h"

// The parts of a TODY_BLOCKS tensor (format.h).
typedef struct tody_blocks {
    uint32_t words, chunks;  // words of a row, and chunks of TODY_CHUNK of them
    const int32_t *sums;
    const uint32_t *starts;
    const uint8_t *places;
    const int8_t *w;
} tody_blocks;

// Of weights at `data` with `cols` output channels and `words` words of a row, of the size that its last start implies.
static inline tody_blocks tody_blocks_of(const void *data, uint32_t cols, uint32_t words) {
    tody_blocks b = {.words = words, .chunks = words / TODY_CHUNK + (words % TODY_CHUNK != 0)};
    const size_t lists = (size_t)b.chunks * cols;
    b.sums = data;
    b.starts = (const uint32_t *)data + cols;
    b.places = (const uint8_t *)(b.starts + lists + 1);
    b.w = (const int8_t *)b.places + ((size_t)b.starts[lists] + 3) / 4 * 4;
    return b;
}

#endif
