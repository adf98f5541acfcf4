// board.c - QEMU's RISC-V machine virt: UART 16550, PLIC, and two 16-bit CFI flash chips side by side (Intel commands).
// SPDX-License-Identifier: Apache-2.0
#include "app/board.h"

#include <string.h>

#include "boards/common/ring.h"
#include "boards/common/riscv/riscv.h"
#include "core/kernels.h"

enum { FLASH_BYTES = 4 << 20, ERASE_BYTES = 256 << 10, WRITE_BYTES = 4, CLOCK_HZ = 10000000 };
enum { UART_IRQ = 10, DATA_READY = 1, CAN_SEND = 1 << 5, POWER_RESET = 0x7777 };

// Commands for both chips in one word, and what their status says.
enum { READ = 0x00FF00FF, PROGRAM = 0x00400040, ERASE = 0x00200020, ERASE_NOW = 0x00D000D0, CLEAR = 0x00500050 };
enum { READY = 0x00800080, FAILED = 0x003A003A };

typedef struct uart16550 {
    uint8_t data, interrupts, fifo, line, modem, status;
} uart16550;

static volatile uart16550 *const uart = (uart16550 *)0x10000000u;
static volatile uint32_t *const chips = (uint32_t *)0x22000000u;
static volatile uint32_t *const plic_priority = (uint32_t *)0x0C000000u;
static volatile uint32_t *const plic_enable = (uint32_t *)0x0C002000u;
static volatile uint32_t *const plic_claim = (uint32_t *)0x0C200004u;
static volatile const uint64_t *const mtime = (uint64_t *)0x0200BFF8u;
static volatile uint32_t *const power = (uint32_t *)0x00100000u;
static ring received;

static bool flash_read(void *self, uint32_t at, void *to, uint32_t bytes) {
    (void)self;
    memcpy(to, (const uint8_t *)(uintptr_t)chips + at, bytes);
    return true;
}

// Wait for the chips; back to reading.
static bool finished(volatile uint32_t *word) {
    uint32_t status;
    do status = *word;
    while ((status & READY) != READY);
    *word = CLEAR;
    *word = READ;
    return (status & FAILED) == 0;
}

static bool flash_erase(void *self, uint32_t at) {
    (void)self;
    chips[at / 4] = ERASE;
    chips[at / 4] = ERASE_NOW;
    return finished(&chips[at / 4]);
}

static bool flash_program(void *self, uint32_t at, const uint8_t *data, uint32_t bytes) {
    (void)self;
    for (uint32_t i = 0; i < bytes; i += 4) {
        volatile uint32_t *word = &chips[(at + i) / 4];
        uint32_t value;
        memcpy(&value, data + i, 4);
        if (*word != 0xFFFFFFFF) return false;  // the emulated chips would take it
        *word = PROGRAM;
        *word = value;
        if (!finished(word)) return false;
    }
    return true;
}

static void start_uart(void) {
    uart->fifo = 1;
    uart->interrupts = DATA_READY;
    plic_priority[UART_IRQ] = 1;
    *plic_enable = 1u << UART_IRQ;
}

void riscv_interrupt(void) {
    const uint32_t source = *plic_claim;
    while (!ring_full(&received) && uart->status & DATA_READY) ring_put(&received, uart->data);
    if (ring_full(&received)) uart->interrupts = 0;
    *plic_claim = source;
}

bool riscv_awake(void) { return received.written != received.read; }

uint32_t tody_board_read(uint8_t *to, uint32_t room) {
    const uint32_t count = ring_get(&received, to, room);
    if (count) uart->interrupts = DATA_READY;
    return count;
}

void tody_board_write(const uint8_t *data, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        while (!(uart->status & CAN_SEND)) continue;
        uart->data = data[i];
    }
}

void tody_board_reset(void) {
    for (;;) *power = POWER_RESET;
}

const tody_board *tody_board_start(void) {
    static const tody_flash flash = {FLASH_BYTES, ERASE_BYTES, WRITE_BYTES, NULL, flash_read, flash_erase, flash_program};
    static tody_board board = {.name = "riscv-virt", .cpu = "rv32imac", .flash = &flash};
    board.memory = (const uint8_t *)(uintptr_t)chips;
    board.arena = riscv_arena_start;
    board.arena_bytes = (uint32_t)(riscv_arena_end - riscv_arena_start);
    start_uart();
    riscv_start(mtime, CLOCK_HZ);
    return &board;
}
