// mps2.c - UART of the MPS2 boards (CMSDK APB UART, ARM DDI 0479).
// SPDX-License-Identifier: Apache-2.0
#include "mps2.h"

#include "app/board.h"
#include "boards/common/cortexm/cortexm.h"
#include "boards/common/ring.h"

typedef struct cmsdk_uart {
    uint32_t data, state, control, interrupt, divider;
} cmsdk_uart;

enum { TX_FULL = 1, RX_FULL = 2 };                             // state
enum { TX_ENABLE = 1, RX_ENABLE = 2, RX_INTERRUPT = 1 << 3 };  // control
enum { RX_PENDING = 2 };                                       // interrupt

static volatile cmsdk_uart *uart;
static ring received;

void mps2_start(uint32_t hz, uintptr_t address, uint32_t irq) {
    uart = (volatile cmsdk_uart *)address;
    uart->divider = hz / MPS2_BAUD;
    uart->control = TX_ENABLE | RX_ENABLE | RX_INTERRUPT;
    cortexm_start(hz, irq);
}

void cortexm_interrupt(void) {
    uart->interrupt = RX_PENDING;
    while (!ring_full(&received) && uart->state & RX_FULL) ring_put(&received, (uint8_t)uart->data);
}

bool cortexm_awake(void) { return received.written != received.read; }

// There is room again: what the interrupt left in the UART, which reports a byte but once, it fetches now.
uint32_t tody_board_read(uint8_t *to, uint32_t room) {
    const uint32_t count = ring_get(&received, to, room);
    if (count) cortexm_interrupt_again();
    return count;
}

void tody_board_write(const uint8_t *data, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        while (uart->state & TX_FULL) continue;
        uart->data = data[i];
    }
}
