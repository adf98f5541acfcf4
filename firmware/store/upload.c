// upload.c - bring a file into the slot that does not run.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "store.h"

#define PROGRESS_BLOCKS 4u  // so many erase blocks at most are sent again after a power cut

static bool same_file(const tody_slot *slot, uint32_t bytes, const uint8_t sha256[32]) {
    return slot->state != TODY_SLOT_EMPTY && slot->bytes == bytes && memcmp(slot->sha256, sha256, sizeof slot->sha256) == 0;
}

// Where the same file lies, or began to: a slot, or TODY_NO_SLOT.
static uint32_t find_same(const tody_store *store, uint32_t bytes, const uint8_t sha256[32]) {
    for (uint32_t slot = 0; slot < TODY_SLOTS; slot++) {
        const tody_slot *s = &store->journal.now.slots[slot];
        if (!same_file(s, bytes, sha256)) continue;
        if (s->state == TODY_SLOT_LOADING || tody_store_sound(store, slot)) return slot;
    }
    return TODY_NO_SLOT;
}

static void go_on(tody_store *store, uint32_t slot) {
    const tody_slot *s = &store->journal.now.slots[slot];
    if (slot == store->target && s->state == TODY_SLOT_LOADING) return;  // the line was cut, not the power
    store->target = slot;
    store->page_at = s->state == TODY_SLOT_LOADING ? s->written : s->bytes;
    store->filled = 0;
}

tody_store_status tody_store_begin(tody_store *store, uint32_t bytes, const uint8_t sha256[32], uint32_t security,
                                   uint32_t *next) {
    if (bytes == 0 || bytes > store->slot_bytes) return TODY_STORE_RANGE;
    if (security < store->journal.now.floor) return TODY_STORE_OLD;
    uint32_t slot = find_same(store, bytes, sha256);
    if (slot == TODY_NO_SLOT || store->journal.now.slots[slot].security != security) {
        for (slot = 0; slot < TODY_SLOTS && !tody_store_free(store, slot);) slot++;
        if (slot == TODY_SLOTS) return TODY_STORE_STATE;
        tody_record record = store->journal.now;
        record.slots[slot] = (tody_slot){.state = TODY_SLOT_LOADING, .bytes = bytes, .security = security};
        memcpy(record.slots[slot].sha256, sha256, sizeof record.slots[slot].sha256);
        store->target = TODY_NO_SLOT;
        if (!tody_journal_write(&store->journal, &record, TODY_RECORD_BEGIN)) return TODY_STORE_FLASH;
    }
    go_on(store, slot);
    *next = tody_store_next(store);
    return TODY_STORE_OK;
}

uint32_t tody_store_next(const tody_store *store) { return store->page_at + store->filled; }

// Program what `page` holds; the block that it begins is erased first.
static bool put_page(tody_store *store) {
    const tody_flash *flash = store->journal.flash;
    const uint32_t at = tody_store_slot_at(store, store->target) + store->page_at;
    const uint32_t bytes = (store->filled + flash->write_bytes - 1) / flash->write_bytes * flash->write_bytes;
    if (store->page_at % flash->erase_bytes == 0 && !flash->erase(flash->self, at)) return false;
    memset(store->page + store->filled, 0xFF, TODY_FLASH_PAGE - store->filled);
    if (!flash->program(flash->self, at, store->page, bytes)) return false;
    store->page_at += store->filled;
    store->filled = 0;
    return true;
}

// Note now and then, at the end of an erase block, that all before it is safe.
static bool note_progress(tody_store *store) {
    tody_record record = store->journal.now;
    tody_slot *slot = &record.slots[store->target];
    const uint32_t block = store->journal.flash->erase_bytes;
    if (store->page_at - slot->written < PROGRESS_BLOCKS * block) return true;
    slot->written = store->page_at;
    return tody_journal_write(&store->journal, &record, TODY_RECORD_BEGIN);
}

// The slot of an upload that misses bytes, or NULL.
static const tody_slot *loading(const tody_store *store) {
    if (store->target == TODY_NO_SLOT) return NULL;
    const tody_slot *slot = &store->journal.now.slots[store->target];
    return slot->state == TODY_SLOT_LOADING ? slot : NULL;
}

tody_store_status tody_store_write(tody_store *store, const uint8_t *data, uint32_t bytes) {
    if (!loading(store)) return TODY_STORE_STATE;
    if (bytes > loading(store)->bytes - tody_store_next(store)) return TODY_STORE_RANGE;
    while (bytes) {
        const uint32_t room = TODY_FLASH_PAGE - store->filled, part = bytes < room ? bytes : room;
        memcpy(store->page + store->filled, data, part);
        store->filled += part;
        data += part;
        bytes -= part;
        if (part == room && !(put_page(store) && note_progress(store))) {
            store->target = TODY_NO_SLOT;
            return TODY_STORE_FLASH;
        }
    }
    return TODY_STORE_OK;
}

tody_store_status tody_store_finish(tody_store *store) {
    if (store->target == TODY_NO_SLOT) return TODY_STORE_STATE;
    if (!loading(store)) return TODY_STORE_OK;  // once more
    if (tody_store_next(store) != loading(store)->bytes) return TODY_STORE_STATE;
    if (store->filled && !put_page(store)) return TODY_STORE_FLASH;
    const uint32_t target = store->target;
    const bool sound = tody_store_sound(store, target);
    tody_record record = store->journal.now;
    if (sound) {
        record.slots[target].state = TODY_SLOT_READY;
    } else {
        record.slots[target] = (tody_slot){0};
        store->target = TODY_NO_SLOT;
    }
    if (!tody_journal_write(&store->journal, &record, sound ? TODY_RECORD_DONE : TODY_RECORD_ERASED)) return TODY_STORE_FLASH;
    return sound ? TODY_STORE_OK : TODY_STORE_HASH;
}
