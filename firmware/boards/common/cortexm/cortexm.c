// cortexm.c - what a Cortex-M does before main, and the clock that it has.
// SPDX-License-Identifier: Apache-2.0
#include "cortexm.h"

#include <string.h>

#include "app/board.h"

#ifdef __ARM_FP
enum { FPU = 1 };
#else
enum { FPU = 0 };
#endif
enum { IRQS = 48, TICKS_PER_S = 100 };

typedef struct systick {
    uint32_t control, reload, value;
} systick;

static volatile systick *const clock = (systick *)0xE000E010u;
static volatile uint32_t *const irq_enable = (uint32_t *)0xE000E100u;
static volatile uint32_t *const irq_trigger = (uint32_t *)0xE000E200u;
static volatile uint32_t *const coprocessors = (uint32_t *)0xE000ED88u;
static volatile uint32_t *const reset_control = (uint32_t *)0xE000ED0Cu;

// By cortexm.ld.
extern uint8_t data_start[], data_end[], bss_start[], bss_end[];
extern const uint8_t data_load[];
extern uint32_t stack_end[];

int main(void);
void cortexm_reset(void);

static volatile uint32_t ticks;
static uint32_t ticks_per_us, ticks_per_turn, board_irq;

void cortexm_reset(void) {
    if (FPU) *coprocessors |= 0xFu << 20;
    memcpy(data_start, data_load, (size_t)(data_end - data_start));
    memset(bss_start, 0, (size_t)(bss_end - bss_start));
    main();
    tody_board_reset();
}

// A crash starts the board again; one on trial has so many starts only.
static void on_fault(void) { tody_board_reset(); }

static void on_tick(void) { ticks++; }

#define EIGHT_INTERRUPTS                                                                                              \
    cortexm_interrupt, cortexm_interrupt, cortexm_interrupt, cortexm_interrupt, cortexm_interrupt, cortexm_interrupt, \
        cortexm_interrupt, cortexm_interrupt

typedef struct vectors {
    uint32_t *stack;
    void (*reset)(void), (*faults[13])(void), (*tick)(void), (*interrupts[IRQS])(void);
} vectors;

extern const vectors cortexm_vectors;
const vectors cortexm_vectors __attribute__((section(".vectors"), used)) = {
    .stack = stack_end,
    .reset = cortexm_reset,
    .faults = {on_fault, on_fault, on_fault, on_fault, on_fault, on_fault, on_fault, on_fault, on_fault, on_fault, on_fault,
               on_fault, on_fault},
    .tick = on_tick,
    .interrupts = {EIGHT_INTERRUPTS, EIGHT_INTERRUPTS, EIGHT_INTERRUPTS, EIGHT_INTERRUPTS, EIGHT_INTERRUPTS, EIGHT_INTERRUPTS},
};

void cortexm_start(uint32_t hz, uint32_t irq) {
    ticks_per_us = hz / 1000000;
    ticks_per_turn = hz / TICKS_PER_S;
    clock->reload = ticks_per_turn - 1;
    clock->value = 0;
    clock->control = 7;  // of the CPU's clock, with interrupt
    board_irq = irq;
    irq_enable[irq / 32] = 1u << irq % 32;
}

void cortexm_interrupt_again(void) { irq_trigger[board_irq / 32] = 1u << board_irq % 32; }

uint32_t tody_board_time_us(void) {
    uint32_t turns, left;
    do {
        turns = ticks;
        left = clock->value;
    } while (turns != ticks);
    return turns * (1000000 / TICKS_PER_S) + (ticks_per_turn - 1 - left) / ticks_per_us;
}

uint32_t tody_board_time_ms(void) { return ticks * (1000 / TICKS_PER_S); }

// Interrupts stay off between the question and the sleep, which a pending one ends all the same.
void tody_board_sleep(void) {
    __asm__ volatile("cpsid i" ::: "memory");
    if (!cortexm_awake()) __asm__ volatile("wfi" ::: "memory");
    __asm__ volatile("cpsie i" ::: "memory");
}

void tody_board_reset(void) {
    *reset_control = 0x05FA0004u;  // SYSRESETREQ, with the key
    for (;;) __asm__ volatile("wfi");
}
