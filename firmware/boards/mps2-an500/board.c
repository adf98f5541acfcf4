// board.c - MPS2 with a Cortex-M7 (ARM AN500), as QEMU emulates it.
// SPDX-License-Identifier: Apache-2.0
#include "app/board.h"

#include "boards/common/cortexm/cortexm.h"
#include "boards/common/mps2/mps2.h"
#include "core/kernels.h"
#include "sim/nor.h"

enum { FLASH_BYTES = 4 << 20, HZ = 25000000, UART_IRQ = 0 };

#define MEMORY ((uint8_t *)0x60000000)  // stands for flash; QEMU keeps it in a file
#define UART 0x40004000u

const tody_board *tody_board_start(void) {
    static const tody_flash flash = {FLASH_BYTES, NOR_ERASE_BYTES, NOR_WRITE_BYTES, MEMORY, nor_read, nor_erase, nor_program};
    static tody_board board = {.name = "mps2-an500", .cpu = "cortex-m7", .flash = &flash, .memory = MEMORY};
    board.arena = cortexm_arena_start;
    board.arena_bytes = (uint32_t)(cortexm_arena_end - cortexm_arena_start);
    mps2_start(HZ, UART, UART_IRQ);
    return &board;
}
