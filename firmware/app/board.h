// board.h - what a board supplies. Seven functions here, three in its tody_flash; docs/adding.md shows how to add one.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_BOARD_H
#define TODY_BOARD_H

#include <stdint.h>

#include "store/flash.h"

typedef struct tody_board {
    const char *name, *cpu;  // "mps2-an386", "cortex-m4"
    uint32_t features;       // tody_cpu_feature bits
    const tody_flash *flash;
    const uint8_t *memory;  // where the CPU reads byte 0 of `flash`
    uint8_t *arena;         // RAM for arena and scratch of a model, aligned to TODY_ALIGN
    uint32_t arena_bytes;
} tody_board;

const tody_board *tody_board_start(void);  // clocks, timer, UART: first call of all

// Bytes that came since the last call, at most `room`; does not wait. An interrupt has collected them.
uint32_t tody_board_read(uint8_t *to, uint32_t room);
void tody_board_write(const uint8_t *data, uint32_t bytes);  // waits until the line took them

uint32_t tody_board_time_us(void);  // since the start; wraps after 71 minutes
uint32_t tody_board_time_ms(void);  // since the start; wraps after 49 days
void tody_board_sleep(void);        // until an interrupt; at once if bytes have come
void tody_board_reset(void);        // does not return

#endif
