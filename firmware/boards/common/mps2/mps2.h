// mps2.h - what the MPS2 and MPS3 boards of ARM have in common, as QEMU emulates them: CMSDK UART, flash made of memory.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_MPS2_H
#define TODY_MPS2_H

#include <stdint.h>

#define MPS2_BAUD 115200u

// Start clock and UART: a CPU of so many Hz, the UART's address and the number of its interrupt for bytes received.
void mps2_start(uint32_t hz, uintptr_t uart, uint32_t irq);

#endif
