// board.c - Raspberry Pi Pico: clocks, UART0 on GPIO 0 and 1, flash by the functions of the boot ROM (RP2040 data sheet).
// SPDX-License-Identifier: Apache-2.0
#include "app/board.h"

#include <string.h>

#include "boards/common/cortexm/cortexm.h"
#include "boards/common/ring.h"
#include "core/kernels.h"

enum { FLASH_OFFSET = 256 << 10, FLASH_BYTES = 1792 << 10, ERASE_BYTES = 4096, WRITE_BYTES = 256, ERASE_COMMAND = 0x20 };
enum { CRYSTAL_HZ = 12000000, CPU_HZ = 125000000, BAUD = 115200, UART_IRQ = 20 };

#define FLASH_MEMORY ((const uint8_t *)0x10000000u)
#define REGISTER(address) ((volatile uint32_t *)(address))

// Called by the boot ROM, which checks its CRC-32 at the end: lets the CPU read the flash by command 03h at a quarter of its
// clock, which any flash chip can, and goes to the program's vectors behind it.
__asm__(
    ".section .boot2, \"ax\"\n"
    ".syntax unified\n"
    ".thumb\n"
    "    ldr r3, =0x18000000\n"  // SSI
    "    movs r0, #0\n"
    "    str r0, [r3, #0x08]\n"  // off
    "    movs r0, #4\n"
    "    str r0, [r3, #0x14]\n"  // clock divider
    "    ldr r0, =0x001F0300\n"  // 32 bits, EEPROM read
    "    str r0, [r3, #0x00]\n"
    "    ldr r1, =0x180000F4\n"
    "    ldr r0, =0x03000218\n"  // command 03h of 8 bits, address of 24
    "    str r0, [r1]\n"
    "    movs r0, #0\n"
    "    str r0, [r3, #0x04]\n"  // one word at a time
    "    movs r0, #1\n"
    "    str r0, [r3, #0x08]\n"  // on
    "    ldr r0, =0x10000100\n"
    "    ldr r1, =0xE000ED08\n"  // VTOR
    "    str r0, [r1]\n"
    "    ldmia r0!, {r1, r2}\n"
    "    msr msp, r1\n"
    "    bx r2\n"
    "    .ltorg\n"
    "    .org 252\n"
    "    .word 0xCA2460FE\n"
    ".text\n");

typedef struct pl011 {
    uint32_t data, error, unused1[4], flags, unused2[2], divider, fraction, line, control, level, mask;
} pl011;

enum { RX_EMPTY = 1 << 4, TX_FULL = 1 << 5 };                                         // flags
enum { FIFOS_8_BITS = 0x70, ENABLE_RX_TX = 0x301, RX_INTERRUPTS = 1 << 4 | 1 << 6 };  // line, control, mask

typedef struct rom_flash {
    void (*connect)(void), (*exit_xip)(void), (*flush)(void), (*enter_xip)(void);
    void (*erase)(uint32_t at, size_t bytes, uint32_t block, uint8_t command);
    void (*program)(uint32_t at, const uint8_t *data, size_t bytes);
} rom_flash;

static volatile pl011 *const uart = (pl011 *)0x40034000u;
static ring received;
static rom_flash rom;

static void *rom_function(char a, char b) {
    typedef void *lookup(const uint16_t *table, uint32_t code);
    const uint16_t *const pointers = (const uint16_t *)0x14u;
    lookup *const find = (lookup *)(uintptr_t)pointers[2];
    return find((const uint16_t *)(uintptr_t)pointers[0], (uint32_t)(b << 8 | a));
}

static void find_rom(void) {
    void *const found[] = {rom_function('I', 'F'), rom_function('E', 'X'), rom_function('F', 'C'),
                           rom_function('C', 'X'), rom_function('R', 'E'), rom_function('R', 'P')};
    memcpy(&rom, found, sizeof rom);
}

// Erase a block (data NULL) or program a page. In RAM, since the flash cannot be read meanwhile.
__attribute__((noinline, section(".ram_code"))) static void change_flash(uint32_t at, const uint8_t *data, size_t bytes) {
    const rom_flash now = rom;
    __asm__ volatile("cpsid i" ::: "memory");
    now.connect();
    now.exit_xip();
    if (data) {
        now.program(at, data, bytes);
    } else {
        now.erase(at, bytes, ERASE_BYTES, ERASE_COMMAND);
    }
    now.flush();
    now.enter_xip();
    __asm__ volatile("cpsie i" ::: "memory");
}

static bool flash_read(void *self, uint32_t at, void *to, uint32_t bytes) {
    (void)self;
    memcpy(to, FLASH_MEMORY + FLASH_OFFSET + at, bytes);
    return true;
}

static bool flash_erase(void *self, uint32_t at) {
    (void)self;
    change_flash(FLASH_OFFSET + at, NULL, ERASE_BYTES);
    return true;
}

static bool flash_program(void *self, uint32_t at, const uint8_t *data, uint32_t bytes) {
    (void)self;
    change_flash(FLASH_OFFSET + at, data, bytes);
    return memcmp(FLASH_MEMORY + FLASH_OFFSET + at, data, bytes) == 0;
}

static void leave_reset(uint32_t blocks) {
    *REGISTER(0x4000F000) = blocks;  // RESETS, clear
    while ((*REGISTER(0x4000C008) & blocks) != blocks) continue;
}

// The crystal, 12 MHz; times 125, by 6 and 2: the CPU's and the UART's 125 MHz.
static void start_clocks(void) {
    *REGISTER(0x4002400C) = 47;                        // XOSC startup: 1 ms
    *REGISTER(0x40024000) = 0xFAB << 12 | 0xAA0;       // XOSC control: on
    while (!(*REGISTER(0x40024004) >> 31)) continue;   // stable
    leave_reset(1u << 12);                             // PLL_SYS
    *REGISTER(0x40028008) = 125;                       // feedback
    *REGISTER(0x4002B004) = 1 << 0 | 1 << 5;           // power: PLL and VCO on (clear)
    while (!(*REGISTER(0x40028000) >> 31)) continue;   // locked
    *REGISTER(0x4002800C) = 6 << 16 | 2 << 12;         // dividers
    *REGISTER(0x4002B004) = 1 << 3;                    // their power
    *REGISTER(0x40008030) = 2;                         // clk_ref: crystal
    while (*REGISTER(0x40008038) != 1 << 2) continue;  // selected
    *REGISTER(0x4000803C) = 1;                         // clk_sys: PLL
    while (*REGISTER(0x40008044) != 1 << 1) continue;
    *REGISTER(0x40008048) = 1 << 11;  // clk_peri: clk_sys, on
}

static void start_uart(void) {
    leave_reset(1u << 5 | 1u << 8 | 1u << 22);                // IO_BANK0, PADS_BANK0, UART0
    *REGISTER(0x40014004) = *REGISTER(0x4001400C) = 2;        // GPIO 0 and 1: UART
    const uint32_t divider = (CPU_HZ * 4 + BAUD / 2) / BAUD;  // in 64ths
    uart->divider = divider / 64;
    uart->fraction = divider % 64;
    uart->line = FIFOS_8_BITS;
    uart->level = 0;
    uart->mask = RX_INTERRUPTS;
    uart->control = ENABLE_RX_TX;
}

void cortexm_interrupt(void) {
    while (!ring_full(&received) && !(uart->flags & RX_EMPTY)) ring_put(&received, (uint8_t)uart->data);
    if (ring_full(&received)) uart->mask = 0;
}

bool cortexm_awake(void) { return received.written != received.read; }

uint32_t tody_board_read(uint8_t *to, uint32_t room) {
    const uint32_t count = ring_get(&received, to, room);
    if (count) uart->mask = RX_INTERRUPTS;
    return count;
}

void tody_board_write(const uint8_t *data, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        while (uart->flags & TX_FULL) continue;
        uart->data = data[i];
    }
}

const tody_board *tody_board_start(void) {
    static const tody_flash flash = {FLASH_BYTES, ERASE_BYTES, WRITE_BYTES, NULL, flash_read, flash_erase, flash_program};
    static tody_board board = {.name = "rp2040", .cpu = "cortex-m0plus", .flash = &flash};
    board.memory = FLASH_MEMORY + FLASH_OFFSET;
    board.arena = cortexm_arena_start;
    board.arena_bytes = (uint32_t)(cortexm_arena_end - cortexm_arena_start);
    find_rom();
    start_clocks();
    start_uart();
    cortexm_start(CPU_HZ, UART_IRQ);
    return &board;
}
