// cut.h - flash in memory whose power fails at a chosen operation, and that keeps to the rules of NOR flash.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_CUT_H
#define TODY_CUT_H

#include <setjmp.h>

#include "store/flash.h"

// What the operation leaves that the power cut interrupts.
typedef enum cut_mode {
    CUT_BEFORE,   // nothing of it
    CUT_FIRST,    // the first half
    CUT_LAST,     // the last half: parts land in any order
    CUT_WORDS,    // some words
    CUT_BITS,     // some bits of each word
    CUT_AFTER,    // all, but nobody knows
    CUT_FAILURE,  // no power cut: the flash does nothing and says so
    CUT_MODES,
} cut_mode;

typedef struct cut_flash {
    tody_flash flash;     // `self` is this struct
    uint8_t *memory;      // flash.size bytes
    uint32_t *wear;       // erasures of each block
    uint32_t operations;  // erasures and programs so far
    uint32_t cut_at;      // the operation that is interrupted
    cut_mode mode;
    uint64_t random;
    bool dead;  // the flash was asked for what no flash can do; `why` says what
    const char *why;
    jmp_buf *power;  // where a power cut goes
} cut_flash;

// Memory of `blocks` erase blocks, full of what a new chip may hold.
void cut_make(cut_flash *cut, uint32_t erase_bytes, uint32_t write_bytes, uint32_t blocks);
void cut_free(cut_flash *cut);
void cut_copy(cut_flash *to, const cut_flash *from);  // of equal size; the content alone
uint32_t cut_random(cut_flash *cut);

#endif
