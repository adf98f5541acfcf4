// riscv.h - start-up, clock and interrupts of a RISC-V core in machine mode; a board adds its UART and flash.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_RISCV_H
#define TODY_RISCV_H

#include <stdbool.h>
#include <stdint.h>

// By riscv.ld: RAM that nothing else uses.
extern uint8_t riscv_arena_start[], riscv_arena_end[];

// Supplied by the board: takes bytes from the UART; called for each external interrupt. And whether bytes wait to be read.
void riscv_interrupt(void);
bool riscv_awake(void);

// Let external interrupts in. `mtime` counts so many Hz, at least 1 MHz.
void riscv_start(volatile const uint64_t *mtime, uint32_t hz);

#endif
