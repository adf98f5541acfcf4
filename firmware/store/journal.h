// journal.h - the state of the store, kept in two blocks of flash that are used in turn.
// SPDX-License-Identifier: Apache-2.0
//
// A record holds the whole state. The sound one with the highest sequence number decides; one that a power cut spoiled does
// not count, so every change happens wholly or not at all.
#ifndef TODY_JOURNAL_H
#define TODY_JOURNAL_H

#include "flash.h"

#define TODY_SLOTS 2u
#define TODY_RECORD_BYTES 128u

typedef enum tody_slot_state {
    TODY_SLOT_EMPTY = 0,
    TODY_SLOT_LOADING = 1,    // an upload began; `written` bytes of it are safe
    TODY_SLOT_READY = 2,      // has been compared with its SHA-256
    TODY_SLOT_TRIAL = 3,      // runs after a start, `boots` times more where another model could run
    TODY_SLOT_CONFIRMED = 4,  // runs after a start
    TODY_SLOT_FAILED = 5,     // was on trial and not confirmed: runs only when asked for
} tody_slot_state;

// Why a record was written; for people, nothing depends on it.
typedef enum tody_record_kind {
    TODY_RECORD_BEGIN = 1,  // also now and then in an upload
    TODY_RECORD_DONE = 2,
    TODY_RECORD_TRIAL = 3,  // also at each start of a trial
    TODY_RECORD_CONFIRMED = 4,
    TODY_RECORD_BACK = 5,
    TODY_RECORD_ERASED = 6,
} tody_record_kind;

typedef struct tody_slot {
    uint32_t state;     // tody_slot_state
    uint32_t bytes;     // of the file
    uint32_t written;   // loading: a multiple of erase_bytes
    uint32_t security;  // anti-rollback number of the file
    uint8_t sha256[32];
} tody_slot;

typedef struct tody_record {
    uint32_t sequence;  // from 1
    uint32_t kind;
    uint32_t floor;  // security that a file needs to run; never falls
    uint32_t boots;  // starts that a trial has left
    tody_slot slots[TODY_SLOTS];
    uint8_t reserved[8];  // zero
    uint8_t check[8];     // of the SHA-256 of all that stands before
} tody_record;

_Static_assert(sizeof(tody_record) == TODY_RECORD_BYTES, "record");

typedef struct tody_journal {
    const tody_flash *flash;
    uint32_t block, next;  // where records are written now, and the first free place in it
    tody_record now;
} tody_journal;

// Find the newest record; without one, all slots are empty. Writes nothing.
void tody_journal_open(tody_journal *journal, const tody_flash *flash);

// Write `next`, with the next sequence number; it becomes `now`. A record that raises the floor is written twice, so that the
// floor outlives the decay of one. False: the flash failed, and `now` is what it was.
bool tody_journal_write(tody_journal *journal, const tody_record *next, tody_record_kind kind);

#endif
