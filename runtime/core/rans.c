// rans.c - tables of coded blocks.
// SPDX-License-Identifier: Apache-2.0
#include "rans.h"

#include "format.h"

enum { LISTED = 32 };  // so many symbols at most are listed one by one; of more there is a bit map

static void index_slots(tody_unpack_table *t) {
    uint32_t i = 0;
    for (uint32_t slot = 0; slot < TODY_BLOCK_SCALE; slot += TODY_RANS_STEP) {
        while (t->start[i + 1] <= slot) i++;
        t->first[slot / TODY_RANS_STEP] = (uint8_t)i;
    }
}

static void flat(tody_unpack_table *t) {
    for (uint32_t i = 0; i < 256; i++) {
        t->symbol[i] = (uint8_t)i;
        t->start[i] = (uint16_t)(16 * i);
    }
    t->start[256] = TODY_BLOCK_SCALE;
    index_slots(t);
}

// The symbols of a table: a list in rising order, or a bit map of 32 bytes. Returns the bytes read, 0 where they are unsound.
static uint32_t read_symbols(tody_unpack_table *t, const uint8_t *data, uint32_t bytes, uint32_t count) {
    if (bytes < (count <= LISTED ? count : 32)) return 0;
    if (count <= LISTED) {
        for (uint32_t i = 0; i < count; i++) {
            if (i > 0 && data[i] <= data[i - 1]) return 0;
            t->symbol[i] = data[i];
        }
        return count;
    }
    uint32_t found = 0;
    for (uint32_t s = 0; s < 256; s++) {
        if (!(data[s >> 3] >> (s & 7) & 1)) continue;
        if (found == count) return 0;
        t->symbol[found++] = (uint8_t)s;
    }
    return found == count ? 32 : 0;
}

// A frequency less one: 7 bits, and where the eighth is set 5 more in a second byte. Returns the bytes read, 0 where they end.
static uint32_t read_frequency(const uint8_t *data, uint32_t bytes, uint32_t *frequency) {
    if (bytes == 0 || (data[0] >= 128 && bytes < 2)) return 0;
    *frequency = 1u + (data[0] & 127u);
    if (data[0] < 128) return 1;
    *frequency += (uint32_t)data[1] << 7;
    return 2;
}

bool tody_rans_table(tody_unpack_table *t, const uint8_t *data, uint32_t bytes) {
    if (bytes == 0) {
        flat(t);
        return true;
    }
    const uint32_t count = 1u + data[0], skipped = read_symbols(t, data + 1, bytes - 1, count);
    if (skipped == 0) return false;
    uint32_t at = 1 + skipped, sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t frequency = 0;
        const uint32_t read = read_frequency(data + at, bytes - at, &frequency);
        if (read == 0 || sum + frequency > TODY_BLOCK_SCALE) return false;
        t->start[i] = (uint16_t)sum;
        sum += frequency;
        at += read;
    }
    t->start[count] = (uint16_t)sum;
    if (sum != TODY_BLOCK_SCALE || at != bytes) return false;
    index_slots(t);
    return true;
}
