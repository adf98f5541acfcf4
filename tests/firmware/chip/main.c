// main.c - the store on an emulated chip, for power cuts at each of its stores to flash: takes a letter, does it, exits.
// SPDX-License-Identifier: Apache-2.0
//
// u: bring in model B and confirm it, then C and go back, saying so; p: model A first. Always says what runs after a start.
// chipcut.py tells from the lines which models may run when the power comes back.
#include <string.h>

#include "app/board.h"
#include "store/sha256.h"
#include "store/store.h"

enum { MODEL_BYTES = 2100, PIECE = 100 };

static tody_store store;
static const tody_board *board;

static void say(const char *verb, char model) {
    const char line[] = {' ', model, '\n'};
    tody_board_write((const uint8_t *)verb, (uint32_t)strlen(verb));
    tody_board_write((const uint8_t *)line, sizeof line);
}

// Ends the emulator: semihosting, SYS_EXIT.
static _Noreturn void leave(void) {
    for (;;) __asm__ volatile("movs r0, #0x18\n\tldr r1, =0x20026\n\tbkpt 0xAB" ::: "r0", "r1", "memory");
}

static _Noreturn void fail(const char *what) {
    say(what, '!');
    leave();
}

static uint8_t byte_of(char model, uint32_t at) { return (uint8_t)((at + 1) * 2654435761u >> 24 ^ (uint32_t)model); }

static void digest(char model, uint8_t out[32]) {
    tody_sha256 sha;
    tody_sha256_begin(&sha);
    for (uint32_t i = 0; i < MODEL_BYTES; i++) {
        const uint8_t byte = byte_of(model, i);
        tody_sha256_add(&sha, &byte, 1);
    }
    tody_sha256_end(&sha, out);
}

// Which model lies in a slot, by its bytes and not by what the store believes; '-': none runs, '?': bytes of no model.
static char content(uint32_t slot) {
    if (slot == TODY_NO_SLOT) return '-';
    const uint8_t *data = board->memory + tody_store_slot_at(&store, slot);
    const char model = (char)(data[0] ^ byte_of(0, 0));
    for (uint32_t i = 0; i < MODEL_BYTES; i++) {
        if (data[i] != byte_of(model, i)) return '?';
    }
    return model;
}

static void upload(char model, uint32_t security) {
    uint8_t sha[32], piece[PIECE];
    uint32_t next;
    digest(model, sha);
    if (tody_store_begin(&store, MODEL_BYTES, sha, security, &next)) fail("begin");
    while (next < MODEL_BYTES) {
        for (uint32_t i = 0; i < PIECE; i++) piece[i] = byte_of(model, next + i);
        const uint32_t part = MODEL_BYTES - next < PIECE ? MODEL_BYTES - next : PIECE;
        if (tody_store_write(&store, piece, part)) fail("write");
        next += part;
    }
    if (tody_store_finish(&store)) fail("finish");
}

static void activate(char model) {
    say("activating", model);
    if (!tody_store_sound(&store, store.target) || tody_store_activate(&store, store.target)) fail("activate");
}

static void confirm(char model) {
    if (tody_store_confirm(&store)) fail("confirm");
    say("confirmed", model);
}

static void update(void) {
    if (store.running != TODY_NO_SLOT && store.journal.now.slots[store.running].state == TODY_SLOT_TRIAL)
        confirm(content(store.running));
    if (content(store.running) != 'C') {
        upload('B', 2);
        activate('B');
        confirm('B');
    }
    upload('C', 2);
    activate('C');
    if (content(store.running) != 'C') fail("running");
    const uint32_t before = tody_store_before(&store);
    if (before == TODY_NO_SLOT) return;
    const char older = content(before);
    if (tody_store_back(&store)) fail("back");
    say("confirmed", older);
}

int main(void) {
    uint8_t letter;
    board = tody_board_start();
    tody_store_open(&store, board->flash);
    tody_store_start(&store);
    say("runs", content(store.running));
    while (tody_board_read(&letter, 1) == 0) tody_board_sleep();
    if (letter == 'p') {
        upload('A', 1);
        activate('A');
        confirm('A');
    }
    if (letter == 'u') update();
    say("done", content(store.running));
    leave();
}
