// link.c - what the link asks for, answered by store, runtime and board.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "app.h"
#include "ops/ops.h"

static tody_rc rc_of(tody_store_status status) {
    static const tody_rc codes[] = {TODY_RC_OK,      TODY_RC_INVALID,   TODY_RC_BAD_STATE,
                                    TODY_RC_CORRUPT, TODY_RC_BAD_STATE, TODY_RC_UNKNOWN};
    return codes[status];
}

static void send(void *self, const uint8_t *data, uint32_t bytes) {
    (void)self;
    tody_board_write(data, bytes);
}

static uint32_t time_us(void *self) {
    (void)self;
    return tody_board_time_us();
}

static void reset(void *self) {
    (void)self;
    tody_board_reset();
}

static bool failed(const tody_app *app, uint32_t slot) { return app->store.journal.now.slots[slot].state == TODY_SLOT_FAILED; }

static void info(void *self, tody_link_info *out) {
    const tody_app *app = self;
    *out = (tody_link_info){
        .board = app->board->name,
        .cpu = app->board->cpu,
        .kernels = app->kernels.name,
        .slot_bytes = app->store.slot_bytes,
        .arena_bytes = app->board->arena_bytes,
        .uptime_ms = tody_board_time_ms(),
        .boots = app->store.journal.now.boots,
        .security_floor = app->store.journal.now.floor,
        .safe = !app->loaded && (failed(app, 0) || failed(app, 1)),
    };
}

static bool slot(void *self, uint32_t index, tody_link_slot *out) {
    static const char *const states[] = {"empty", "loading", "ready", "trial", "confirmed", "broken"};
    const tody_app *app = self;
    if (index >= TODY_SLOTS) return false;
    const tody_slot *s = &app->store.journal.now.slots[index];
    *out = (tody_link_slot){
        .state = states[s->state],
        .running = app->loaded && index == app->store.running,
        .bytes = s->bytes,
        .security = s->security,
    };
    memcpy(out->sha, s->sha256, sizeof out->sha);
    return true;
}

static bool read(void *self, uint32_t index, uint32_t at, void *to, uint32_t bytes) {
    const tody_app *app = self;
    const tody_flash *flash = app->board->flash;
    if (index >= TODY_SLOTS || at > app->store.slot_bytes || bytes > app->store.slot_bytes - at) return false;
    return flash->read(flash->self, tody_store_slot_at(&app->store, index) + at, to, bytes);
}

static tody_rc begin(void *self, uint32_t bytes, const uint8_t sha[32], uint32_t security, uint32_t *next) {
    return rc_of(tody_store_begin(&((tody_app *)self)->store, bytes, sha, security, next));
}

static tody_rc write(void *self, uint32_t at, const uint8_t *data, uint32_t bytes) {
    tody_app *app = self;
    if (at != tody_store_next(&app->store)) return TODY_RC_INVALID;
    return rc_of(tody_store_write(&app->store, data, bytes));
}

static tody_rc finish(void *self) { return rc_of(tody_store_finish(&((tody_app *)self)->store)); }

static tody_rc erase(void *self, uint32_t index) { return rc_of(tody_store_erase(&((tody_app *)self)->store, index)); }

// Load the model of a slot, then have the store note it by `change`; the model before runs on where either fails, which in the
// second case is opened anew: a copy of it would lie on the stack meanwhile.
static tody_rc move_to(tody_app *app, uint32_t index, tody_store_status (*change)(tody_store *store, uint32_t slot)) {
    const bool loaded = app->loaded;
    if (!tody_store_sound(&app->store, index)) return TODY_RC_CORRUPT;
    tody_rc rc = tody_app_load(app, index);
    if (rc) return rc;
    rc = rc_of(change(&app->store, index));
    if (rc) app->loaded = loaded && !tody_app_load(app, app->store.running);
    return rc;
}

static tody_rc activate(void *self, uint32_t index) {
    tody_app *app = self;
    if (index >= TODY_SLOTS) return TODY_RC_NO_ENTRY;
    if (index == app->store.running && app->loaded) return TODY_RC_OK;
    const uint32_t state = app->store.journal.now.slots[index].state;
    if (state == TODY_SLOT_EMPTY || state == TODY_SLOT_LOADING) return TODY_RC_BAD_STATE;
    return move_to(app, index, tody_store_activate);
}

static tody_rc confirm(void *self) {
    tody_app *app = self;
    return app->loaded ? rc_of(tody_store_confirm(&app->store)) : TODY_RC_NO_ENTRY;
}

static tody_store_status give_up(tody_store *store, uint32_t to) {
    (void)to;  // the store knows
    return tody_store_back(store);
}

static tody_rc back(void *self) {
    tody_app *app = self;
    const uint32_t before = tody_store_before(&app->store);
    return before == TODY_NO_SLOT ? rc_of(tody_store_back(&app->store)) : move_to(app, before, give_up);
}

static tody_model *model(void *self) {
    tody_app *app = self;
    return app->loaded ? &app->model : NULL;
}

void tody_app_link(tody_app *app) {
    app->link = (tody_link_app){
        .self = app,
        .send = send,
        .time_us = time_us,
        .info = info,
        .reset = reset,
        .slot = slot,
        .read = read,
        .begin = begin,
        .write = write,
        .finish = finish,
        .erase = erase,
        .activate = activate,
        .confirm = confirm,
        .back = back,
        .ops = tody_ops,
        .model = model,
    };
}
