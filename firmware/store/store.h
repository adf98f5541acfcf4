// store.h - two slots for model files in flash, and which of them runs.
// SPDX-License-Identifier: Apache-2.0
//
// Layout of the flash: two erase blocks of journal, slot 0, slot 1. A file begins at the first byte of its slot and runs in
// place. Nothing runs that was not compared with its SHA-256 since the start. A power cut at any point leaves what ran before
// or what was to run next: docs/flash.md lists the points.
//
//     tody_store_open(&store, &flash);
//     slot = tody_store_start(&store);        // what to run, or TODY_NO_SLOT
//     tody_store_begin, _write.., _finish     // an upload, into the slot that does not run
//     tody_store_sound(&store, slot), then tody_store_activate(&store, slot)
//     tody_store_confirm(&store) or tody_store_back(&store)
#ifndef TODY_STORE_H
#define TODY_STORE_H

#include "journal.h"

#define TODY_NO_SLOT 0xFFFFFFFFu
#define TODY_TRIAL_BOOTS 3u  // starts after which a model that nobody confirmed is given up

typedef enum tody_store_status {
    TODY_STORE_OK = 0,
    TODY_STORE_RANGE = 1,  // larger than a slot, or a slot that is not there
    TODY_STORE_STATE = 2,  // not now: docs with each function
    TODY_STORE_HASH = 3,   // the slot does not have the SHA-256 that was announced
    TODY_STORE_OLD = 4,    // security is below the floor
    TODY_STORE_FLASH = 5,  // the flash reports an error
} tody_store_status;

// Read it, change nothing.
typedef struct tody_store {
    tody_journal journal;
    uint32_t slot_bytes;
    uint32_t running;  // slot, or TODY_NO_SLOT
    uint32_t target;   // of the upload, or TODY_NO_SLOT
    uint32_t page_at;  // in the slot; a multiple of TODY_FLASH_PAGE
    uint32_t filled;   // bytes in `page`
    uint8_t page[TODY_FLASH_PAGE];
} tody_store;

void tody_store_open(tody_store *store, const tody_flash *flash);

// Choose what runs: a trial that has starts left (it has one less then), else the confirmed one, else one that is ready, else
// the trial all the same. Each only if its bytes are sound and its security is not below the floor. Sets `running`.
uint32_t tody_store_start(tody_store *store);

// Where a slot begins in the flash.
uint32_t tody_store_slot_at(const tody_store *store, uint32_t slot);

// Whether the file in a slot has its SHA-256 now. Reads all of it.
bool tody_store_sound(const tody_store *store, uint32_t slot);

// Whether nothing needs what a slot holds: it does not run, nor would a trial fall back to it.
bool tody_store_free(const tody_store *store, uint32_t slot);

// Begin an upload, or go on with the same one. *next is the first byte that is wanted; it is `bytes` where a slot has this
// file already. STATE: the other slot is what a trial would fall back to; confirm or go back first.
tody_store_status tody_store_begin(tody_store *store, uint32_t bytes, const uint8_t sha256[32], uint32_t security,
                                   uint32_t *next);
// The next bytes of the file. Erases and programs as it goes. STATE: no upload. After FLASH the upload must begin again.
tody_store_status tody_store_write(tody_store *store, const uint8_t *data, uint32_t bytes);
uint32_t tody_store_next(const tody_store *store);  // bytes of the upload so far

// All bytes are there: compare the slot with its SHA-256. HASH: the slot is empty now. STATE: bytes are missing, or no upload.
tody_store_status tody_store_finish(tody_store *store);

// Forget a slot. STATE: it runs, or is what a trial would fall back to.
tody_store_status tody_store_erase(tody_store *store, uint32_t slot);

// Run a slot from now on, on trial. The caller has seen that it is sound and that the runtime opens it. STATE: it holds no
// file; OLD. No harm where it runs already.
tody_store_status tody_store_activate(tody_store *store, uint32_t slot);

// What runs stays, and raises the floor to its security. STATE: nothing runs.
tody_store_status tody_store_confirm(tody_store *store);

// The slot that tody_store_back would run, or TODY_NO_SLOT.
uint32_t tody_store_before(const tody_store *store);

// Give up what runs for the other slot, which the caller has seen to be sound and to open. STATE: there is none.
tody_store_status tody_store_back(tody_store *store);

#endif
