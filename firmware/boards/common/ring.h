// ring.h - bytes from the UART's interrupt to the main loop: one writer, one reader.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_RING_H
#define TODY_RING_H

#include <stdint.h>

#define RING_BYTES 128u  // a power of two; they fill while a packet is worked on, which the host awaits the answer of

typedef struct ring {
    volatile uint32_t written, read;  // counts of bytes; they wrap
    volatile uint8_t bytes[RING_BYTES];
} ring;

// A byte for which there is no room is lost; the link's checksum notices.
static inline void ring_put(ring *r, uint8_t byte) {
    if (r->written - r->read == RING_BYTES) return;
    r->bytes[r->written % RING_BYTES] = byte;
    r->written++;
}

static inline uint32_t ring_get(ring *r, uint8_t *to, uint32_t room) {
    uint32_t count = 0;
    while (count < room && r->read != r->written) {
        to[count++] = r->bytes[r->read % RING_BYTES];
        r->read++;
    }
    return count;
}

#endif
