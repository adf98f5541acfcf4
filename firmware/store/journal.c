// journal.c - find the newest record, write the next one.
// SPDX-License-Identifier: Apache-2.0
#include "journal.h"

#include <stddef.h>
#include <string.h>

#include "sha256.h"

static uint32_t place_bytes(const tody_flash *flash) {
    return flash->write_bytes > TODY_RECORD_BYTES ? flash->write_bytes : TODY_RECORD_BYTES;
}

static uint32_t places(const tody_flash *flash) { return flash->erase_bytes / place_bytes(flash); }

static uint32_t place_at(const tody_flash *flash, uint32_t block, uint32_t place) {
    return block * flash->erase_bytes + place * place_bytes(flash);
}

static void seal(const tody_record *record, uint8_t check[8]) {
    uint8_t digest[TODY_SHA256_BYTES];
    tody_sha256 sha;
    tody_sha256_begin(&sha);
    tody_sha256_add(&sha, record, offsetof(tody_record, check));
    tody_sha256_end(&sha, digest);
    memcpy(check, digest, 8);
}

static bool blank(const uint8_t *data, uint32_t bytes) {
    while (bytes && data[bytes - 1] == 0xFF) bytes--;
    return bytes == 0;
}

static bool sound(const tody_record *record) {
    uint8_t check[8];
    seal(record, check);
    if (memcmp(check, record->check, sizeof check) != 0) return false;
    for (uint32_t i = 0; i < TODY_SLOTS; i++) {
        if (record->slots[i].state > TODY_SLOT_FAILED) return false;
    }
    return true;
}

// Look at one place; the record in it becomes `now` if it is newer. Whether anything stands there.
static bool look(tody_journal *journal, uint32_t block, uint32_t place) {
    const tody_flash *flash = journal->flash;
    uint8_t bytes[TODY_FLASH_PAGE];
    tody_record record;
    if (!flash->read(flash->self, place_at(flash, block, place), bytes, place_bytes(flash))) return true;
    if (blank(bytes, place_bytes(flash))) return false;
    memcpy(&record, bytes, sizeof record);
    if (record.sequence > journal->now.sequence && sound(&record)) {
        journal->now = record;
        journal->block = block;
    }
    return true;
}

void tody_journal_open(tody_journal *journal, const tody_flash *flash) {
    uint32_t used[2] = {0, 0};
    *journal = (tody_journal){.flash = flash, .block = 1};
    for (uint32_t block = 0; block < 2; block++) {
        for (uint32_t place = 0; place < places(flash); place++) {
            if (look(journal, block, place)) used[block] = place + 1;
        }
    }
    // A block is written to only when its erasure is known to have ended, which the first record in it proves.
    journal->next = journal->now.sequence ? used[journal->block] : places(flash);
}

static bool put(tody_journal *journal, const tody_record *record) {
    const tody_flash *flash = journal->flash;
    uint8_t bytes[TODY_FLASH_PAGE];
    if (journal->next >= places(flash)) {
        if (!flash->erase(flash->self, place_at(flash, journal->block ^ 1, 0))) return false;
        journal->block ^= 1;
        journal->next = 0;
    }
    const uint32_t at = place_at(flash, journal->block, journal->next++);
    memset(bytes, 0xFF, sizeof bytes);
    memcpy(bytes, record, sizeof *record);
    if (!flash->program(flash->self, at, bytes, place_bytes(flash))) return false;
    return flash->read(flash->self, at, bytes, sizeof *record) && memcmp(bytes, record, sizeof *record) == 0;
}

bool tody_journal_write(tody_journal *journal, const tody_record *next, tody_record_kind kind) {
    tody_record record = *next;
    const uint32_t copies = next->floor > journal->now.floor ? 2 : 1;
    for (uint32_t i = 0; i < copies; i++) {
        record.sequence = journal->now.sequence + 1;
        record.kind = kind;
        seal(&record, record.check);
        if (!put(journal, &record)) return false;
        journal->now = record;
    }
    return true;
}
