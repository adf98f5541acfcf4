// store.c - which slot runs, and how that changes.
// SPDX-License-Identifier: Apache-2.0
#include "store.h"

#include <string.h>

#include "sha256.h"

static const tody_slot *slot_of(const tody_store *store, uint32_t slot) { return &store->journal.now.slots[slot]; }

static bool holds_file(const tody_slot *slot) {
    return slot->state == TODY_SLOT_READY || slot->state == TODY_SLOT_TRIAL || slot->state == TODY_SLOT_CONFIRMED ||
           slot->state == TODY_SLOT_FAILED;
}

static bool may_run(const tody_store *store, uint32_t slot) {
    const tody_slot *s = slot_of(store, slot);
    return holds_file(s) && s->security >= store->journal.now.floor;
}

uint32_t tody_store_slot_at(const tody_store *store, uint32_t slot) {
    return 2 * store->journal.flash->erase_bytes + slot * store->slot_bytes;
}

void tody_store_open(tody_store *store, const tody_flash *flash) {
    const uint32_t blocks = flash->size / flash->erase_bytes;
    *store = (tody_store){.running = TODY_NO_SLOT, .target = TODY_NO_SLOT};
    store->slot_bytes = (blocks - 2) / TODY_SLOTS * flash->erase_bytes;
    tody_journal_open(&store->journal, flash);
}

bool tody_store_sound(const tody_store *store, uint32_t slot) {
    const tody_flash *flash = store->journal.flash;
    const tody_slot *s = slot_of(store, slot);
    uint8_t part[64], digest[TODY_SHA256_BYTES];
    tody_sha256 sha;
    if (s->bytes > store->slot_bytes) return false;
    tody_sha256_begin(&sha);
    for (uint32_t at = 0; at < s->bytes; at += sizeof part) {
        const uint32_t n = s->bytes - at < sizeof part ? s->bytes - at : (uint32_t)sizeof part;
        if (!flash->read(flash->self, tody_store_slot_at(store, slot) + at, part, n)) return false;
        tody_sha256_add(&sha, part, n);
    }
    tody_sha256_end(&sha, digest);
    return memcmp(digest, s->sha256, sizeof digest) == 0;
}

// Use up one start of a trial. False: none is left, or the flash failed.
static bool use_start(tody_store *store) {
    tody_record next = store->journal.now;
    if (next.boots == 0) return false;
    next.boots--;
    return tody_journal_write(&store->journal, &next, TODY_RECORD_TRIAL);
}

// Another model runs: a trial has ended.
static void end_trial(tody_store *store) {
    tody_record next = store->journal.now;
    bool any = false;
    for (uint32_t i = 0; i < TODY_SLOTS; i++) {
        if (next.slots[i].state != TODY_SLOT_TRIAL) continue;
        next.slots[i].state = TODY_SLOT_FAILED;
        any = true;
    }
    if (any) tody_journal_write(&store->journal, &next, TODY_RECORD_BACK);
}

// Run a slot if it has this state and is sound.
static bool start_slot(tody_store *store, uint32_t slot, tody_slot_state state) {
    if (slot_of(store, slot)->state != state || !may_run(store, slot) || !tody_store_sound(store, slot)) return false;
    store->running = slot;
    return true;
}

static bool start_any(tody_store *store, tody_slot_state state) {
    return start_slot(store, 0, state) || start_slot(store, 1, state);
}

uint32_t tody_store_start(tody_store *store) {
    store->running = TODY_NO_SLOT;
    if (start_any(store, TODY_SLOT_TRIAL) && use_start(store)) return store->running;
    const uint32_t trial = store->running;
    if (start_any(store, TODY_SLOT_CONFIRMED) || start_any(store, TODY_SLOT_READY)) {
        end_trial(store);
    } else {
        store->running = trial;  // rather than nothing
    }
    return store->running;
}

static uint32_t running_state(const tody_store *store) {
    return store->running == TODY_NO_SLOT ? TODY_SLOT_EMPTY : slot_of(store, store->running)->state;
}

bool tody_store_free(const tody_store *store, uint32_t slot) {
    const uint32_t state = slot_of(store, slot)->state;
    const bool fallback = state == TODY_SLOT_CONFIRMED || state == TODY_SLOT_READY;
    return slot != store->running && !(running_state(store) == TODY_SLOT_TRIAL && fallback);
}

tody_store_status tody_store_erase(tody_store *store, uint32_t slot) {
    if (slot >= TODY_SLOTS) return TODY_STORE_RANGE;
    if (!tody_store_free(store, slot)) return TODY_STORE_STATE;
    if (store->target == slot) store->target = TODY_NO_SLOT;
    if (slot_of(store, slot)->state == TODY_SLOT_EMPTY) return TODY_STORE_OK;
    tody_record next = store->journal.now;
    next.slots[slot] = (tody_slot){0};
    return tody_journal_write(&store->journal, &next, TODY_RECORD_ERASED) ? TODY_STORE_OK : TODY_STORE_FLASH;
}

tody_store_status tody_store_activate(tody_store *store, uint32_t slot) {
    if (slot >= TODY_SLOTS) return TODY_STORE_RANGE;
    if (!holds_file(slot_of(store, slot))) return TODY_STORE_STATE;
    if (!may_run(store, slot)) return TODY_STORE_OLD;
    if (slot == store->running) return TODY_STORE_OK;
    tody_record next = store->journal.now;
    for (uint32_t i = 0; i < TODY_SLOTS; i++) {
        if (next.slots[i].state == TODY_SLOT_TRIAL) next.slots[i].state = TODY_SLOT_FAILED;
    }
    if (next.slots[slot].state != TODY_SLOT_CONFIRMED) next.slots[slot].state = TODY_SLOT_TRIAL;
    next.boots = TODY_TRIAL_BOOTS;
    if (!tody_journal_write(&store->journal, &next, TODY_RECORD_TRIAL)) return TODY_STORE_FLASH;
    store->running = slot;
    return TODY_STORE_OK;
}

tody_store_status tody_store_confirm(tody_store *store) {
    if (store->running == TODY_NO_SLOT) return TODY_STORE_STATE;
    tody_record next = store->journal.now;
    for (uint32_t i = 0; i < TODY_SLOTS; i++) {
        if (next.slots[i].state == TODY_SLOT_CONFIRMED) next.slots[i].state = TODY_SLOT_READY;
    }
    tody_slot *slot = &next.slots[store->running];
    slot->state = TODY_SLOT_CONFIRMED;
    if (slot->security > next.floor) next.floor = slot->security;
    if (running_state(store) == TODY_SLOT_CONFIRMED && next.floor == store->journal.now.floor) return TODY_STORE_OK;
    return tody_journal_write(&store->journal, &next, TODY_RECORD_CONFIRMED) ? TODY_STORE_OK : TODY_STORE_FLASH;
}

uint32_t tody_store_before(const tody_store *store) {
    for (uint32_t slot = 0; slot < TODY_SLOTS; slot++) {
        if (slot != store->running && slot_of(store, slot)->state != TODY_SLOT_FAILED && may_run(store, slot)) return slot;
    }
    return TODY_NO_SLOT;
}

tody_store_status tody_store_back(tody_store *store) {
    const uint32_t before = tody_store_before(store);
    if (store->running == TODY_NO_SLOT) return TODY_STORE_STATE;
    if (before == TODY_NO_SLOT) {  // once more, or the first time with nothing to go back to
        const bool again = slot_of(store, store->running ^ 1)->state == TODY_SLOT_FAILED;
        return again && running_state(store) == TODY_SLOT_CONFIRMED ? TODY_STORE_OK : TODY_STORE_STATE;
    }
    tody_record next = store->journal.now;
    next.slots[store->running].state = TODY_SLOT_FAILED;
    next.slots[before].state = TODY_SLOT_CONFIRMED;
    if (!tody_journal_write(&store->journal, &next, TODY_RECORD_BACK)) return TODY_STORE_FLASH;
    store->running = before;
    return TODY_STORE_OK;
}
