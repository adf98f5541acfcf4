// ring.h - bytes from the UART's interrupt to the main loop: one writer, one reader.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_RING_H
#define TODY_RING_H

#include <stdbool.h>
#include <stdint.h>

// A power of two. Few wait: bytes are taken as they come, and while a packet is worked on the host awaits the answer.
#define RING_BYTES 64u

typedef struct ring {
    volatile uint32_t written, read;  // counts of bytes; they wrap
    volatile uint8_t bytes[RING_BYTES];
} ring;

static inline bool ring_full(const ring *r) { return r->written - r->read == RING_BYTES; }

// There is room: a byte for which there is none is left in the UART, since a line that is faster than this CPU (USB, an
// emulator's) holds the next one back until it is taken. A plain wire does not: behind the UART's own room bytes are lost, and
// the link's checksum notices. An interrupt that lasts as long as bytes wait must be turned off while the ring is full.
static inline void ring_put(ring *r, uint8_t byte) {
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
