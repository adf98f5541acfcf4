// cortexm.h - start-up, clock and reset of ARM Cortex-M; a board adds its UART and flash.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_CORTEXM_H
#define TODY_CORTEXM_H

#include <stdbool.h>
#include <stdint.h>

// By cortexm.ld: RAM that nothing else uses.
extern uint8_t cortexm_arena_start[], cortexm_arena_end[];

// Supplied by the board: takes bytes from the UART. All interrupts come here.
void cortexm_interrupt(void);

// Have the board's interrupt come once more.
void cortexm_interrupt_again(void);

// Supplied by the board: whether bytes wait to be read. Called with interrupts off.
bool cortexm_awake(void);

// Start the clock of tody_board_time_us, on a CPU of so many Hz, at least 1 MHz, and let interrupt `irq` in.
void cortexm_start(uint32_t hz, uint32_t irq);

#endif
