// main.c - a board's whole program: bytes from the UART go to the link, which answers; in between the board sleeps.
// SPDX-License-Identifier: Apache-2.0
#include "app.h"

int main(void) {
    static tody_app app;
    static tody_link link;
    uint8_t bytes[16];
    tody_app_start(&app, tody_board_start());
    tody_link_begin(&link, &app.link);
    for (;;) {
        const uint32_t count = tody_board_read(bytes, sizeof bytes);
        if (count) {
            tody_link_feed(&link, bytes, count);
        } else {
            tody_board_sleep();
        }
    }
}
