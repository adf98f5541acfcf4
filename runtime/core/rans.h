// rans.h - one symbol of a coded block: range asymmetric numeral systems with 32-bit states (Duda 2013); private to core/.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_RANS_H
#define TODY_RANS_H

#include "tody.h"

#define TODY_RANS_LOW 65536u  // a state below this takes in a word of 16 bits
#define TODY_RANS_STEP 4u     // slots that an entry of tody_unpack_table.first stands for
#define TODY_RANS_MAX_TABLE 546u

// Prove `bytes` bytes of a coded table and make the table of them; no bytes at all are 256 equal symbols.
bool tody_rans_table(tody_unpack_table *table, const uint8_t *data, uint32_t bytes);

// The next symbol. States from TODY_RANS_LOW on stay above 0 and below 2^32 whatever the file holds, and one word is enough to
// bring them back to TODY_RANS_LOW, since x >> 12 is at least 16.
static inline uint8_t tody_rans_symbol(const tody_unpack_table *t, uint32_t *state) {
    const uint32_t x = *state, slot = x & 4095u;
    uint32_t i = t->first[slot / TODY_RANS_STEP];
    while (slot >= t->start[i + 1]) i++;
    const uint32_t start = t->start[i];
    *state = (t->start[i + 1] - start) * (x >> 12) + slot - start;
    return t->symbol[i];
}

static inline uint32_t tody_rans_word(const uint8_t *in) { return in[0] | (uint32_t)in[1] << 8; }

#endif
