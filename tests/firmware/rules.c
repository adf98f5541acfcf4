// rules.c - what the store refuses, what it does twice without harm, what decay does to it, and how it wears the flash.
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/sim/cut.h"
#include "firmware/store/sha256.h"
#include "firmware/store/store.h"

enum { BLOCK = 512, SLOT_BLOCKS = 4, BLOCKS = 2 + 2 * SLOT_BLOCKS, MODEL_BYTES = 1900, UPDATES = 200 };

#define CHECK(what) check(what, #what, __LINE__)

static uint8_t models[3][MODEL_BYTES], shas[3][32];

static void check(bool good, const char *what, int line) {
    if (good) return;
    printf("rules.c:%d: %s\n", line, what);
    exit(1);
}

static void digest(const void *data, size_t bytes, size_t piece, uint8_t out[32]) {
    tody_sha256 sha;
    tody_sha256_begin(&sha);
    for (size_t at = 0; at < bytes; at += piece)
        tody_sha256_add(&sha, (const uint8_t *)data + at, bytes - at < piece ? bytes - at : piece);
    tody_sha256_end(&sha, out);
}

static bool digest_is(const char *text, size_t bytes, size_t piece, const char *expected) {
    uint8_t out[32];
    char hex[65];
    digest(text, bytes, piece, out);
    for (uint32_t i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", out[i]);
    return strcmp(hex, expected) == 0;
}

// The examples of NIST for FIPS 180-4: one block, two blocks, nothing, a million of "a".
static void check_sha256(void) {
    static char many[1000000];
    const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    memset(many, 'a', sizeof many);
    CHECK(digest_is("abc", 3, 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    CHECK(digest_is(two, 56, 56, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"));
    CHECK(digest_is("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    CHECK(digest_is(many, sizeof many, 777, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"));
}

static tody_store_status upload(tody_store *store, uint32_t m, uint32_t security) {
    uint32_t next;
    const tody_store_status status = tody_store_begin(store, MODEL_BYTES, shas[m], security, &next);
    if (status) return status;
    if (tody_store_write(store, models[m] + next, MODEL_BYTES - next) && next < MODEL_BYTES) return TODY_STORE_FLASH;
    return tody_store_finish(store);
}

// Upload into the free slot, activate and confirm.
static void update(tody_store *store, uint32_t m, uint32_t security) {
    CHECK(upload(store, m, security) == TODY_STORE_OK);
    CHECK(tody_store_activate(store, store->target) == TODY_STORE_OK);
    CHECK(tody_store_confirm(store) == TODY_STORE_OK);
}

static bool runs(const cut_flash *cut, const tody_store *store, uint32_t m) {
    return store->running != TODY_NO_SLOT &&
           memcmp(cut->memory + tody_store_slot_at(store, store->running), models[m], MODEL_BYTES) == 0;
}

static void check_refusals(cut_flash *cut) {
    tody_store s;
    uint32_t next;
    uint8_t wrong[32] = {1};
    tody_store_open(&s, &cut->flash);
    CHECK(tody_store_start(&s) == TODY_NO_SLOT);
    CHECK(tody_store_confirm(&s) == TODY_STORE_STATE && tody_store_back(&s) == TODY_STORE_STATE);
    CHECK(tody_store_finish(&s) == TODY_STORE_STATE && tody_store_write(&s, models[0], 1) == TODY_STORE_STATE);
    CHECK(tody_store_activate(&s, 0) == TODY_STORE_STATE && tody_store_activate(&s, 2) == TODY_STORE_RANGE);
    CHECK(tody_store_erase(&s, 2) == TODY_STORE_RANGE);
    CHECK(tody_store_begin(&s, 0, shas[0], 0, &next) == TODY_STORE_RANGE);
    CHECK(tody_store_begin(&s, SLOT_BLOCKS * BLOCK + 1, shas[0], 0, &next) == TODY_STORE_RANGE);
    update(&s, 0, 5);
    CHECK(upload(&s, 1, 4) == TODY_STORE_OLD);
    CHECK(tody_store_erase(&s, s.running) == TODY_STORE_STATE);
    CHECK(tody_store_begin(&s, MODEL_BYTES, wrong, 5, &next) == TODY_STORE_OK && next == 0);
    CHECK(tody_store_write(&s, models[1], MODEL_BYTES + 1) == TODY_STORE_RANGE);
    CHECK(tody_store_write(&s, models[1], 100) == TODY_STORE_OK && tody_store_finish(&s) == TODY_STORE_STATE);
    CHECK(tody_store_activate(&s, s.target) == TODY_STORE_STATE);
    CHECK(tody_store_write(&s, models[1] + 100, MODEL_BYTES - 100) == TODY_STORE_OK);
    CHECK(tody_store_finish(&s) == TODY_STORE_HASH && runs(cut, &s, 0));
    CHECK(upload(&s, 1, 5) == TODY_STORE_OK && tody_store_activate(&s, s.target) == TODY_STORE_OK && runs(cut, &s, 1));
    CHECK(upload(&s, 2, 5) == TODY_STORE_STATE);  // it would take what the trial falls back to
    CHECK(tody_store_erase(&s, s.running ^ 1) == TODY_STORE_STATE);
}

// What is asked for a second time, because the first answer was lost.
static void check_repetition(cut_flash *cut) {
    tody_store s;
    uint32_t next;
    tody_store_open(&s, &cut->flash);
    tody_store_start(&s);
    update(&s, 0, 0);
    CHECK(tody_store_begin(&s, MODEL_BYTES, shas[1], 0, &next) == TODY_STORE_OK && next == 0);
    CHECK(tody_store_write(&s, models[1], 700) == TODY_STORE_OK);
    CHECK(tody_store_begin(&s, MODEL_BYTES, shas[1], 0, &next) == TODY_STORE_OK && next == 700);
    CHECK(tody_store_write(&s, models[1] + 700, MODEL_BYTES - 700) == TODY_STORE_OK);
    CHECK(tody_store_finish(&s) == TODY_STORE_OK && tody_store_finish(&s) == TODY_STORE_OK);
    CHECK(tody_store_begin(&s, MODEL_BYTES, shas[1], 0, &next) == TODY_STORE_OK && next == MODEL_BYTES);
    const uint32_t slot = s.target, operations = cut->operations;
    CHECK(tody_store_finish(&s) == TODY_STORE_OK && cut->operations == operations);
    for (uint32_t i = 0; i < 2; i++) CHECK(tody_store_activate(&s, slot) == TODY_STORE_OK && runs(cut, &s, 1));
    for (uint32_t i = 0; i < 2; i++) CHECK(tody_store_back(&s) == TODY_STORE_OK && runs(cut, &s, 0));
    CHECK(tody_store_activate(&s, slot) == TODY_STORE_OK);
    for (uint32_t i = 0; i < 2; i++) CHECK(tody_store_confirm(&s) == TODY_STORE_OK && runs(cut, &s, 1));
    for (uint32_t i = 0; i < 2; i++) CHECK(tody_store_erase(&s, slot ^ 1) == TODY_STORE_OK);
    CHECK(tody_store_before(&s) == TODY_NO_SLOT && tody_store_start(&s) == slot);
}

// After each flipped bit of `bytes` from the first on: a sound model runs, never a spoiled one, and the floor stands.
static uint32_t flip(cut_flash *cut, uint32_t bytes, uint32_t floor) {
    tody_store s;
    uint8_t *kept = malloc(cut->flash.size);
    if (!kept) abort();
    memcpy(kept, cut->memory, cut->flash.size);
    for (uint32_t at = 0; at < bytes; at++) {
        cut->memory[at] ^= (uint8_t)(1u << at % 8);
        tody_store_open(&s, &cut->flash);
        tody_store_start(&s);
        CHECK(runs(cut, &s, 0) || runs(cut, &s, 1));
        CHECK(s.journal.now.floor == floor);
        memcpy(cut->memory, kept, cut->flash.size);
    }
    free(kept);
    return bytes;
}

static void check_decay(cut_flash *cut) {
    tody_store s;
    tody_store_open(&s, &cut->flash);
    tody_store_start(&s);
    update(&s, 0, 3);
    update(&s, 1, 3);
    uint32_t flips = flip(cut, cut->flash.size, 3);
    update(&s, 0, 3);
    update(&s, 1, 4);  // the floor rises in the last record
    flips += flip(cut, 2 * BLOCK, 4);
    printf("%u flipped bits\n", flips);
}

// Where what runs decays, what is older than the floor does not come back.
static void check_floor(cut_flash *cut) {
    tody_store s;
    tody_store_open(&s, &cut->flash);
    tody_store_start(&s);
    update(&s, 0, 1);
    update(&s, 1, 2);
    CHECK(tody_store_before(&s) == TODY_NO_SLOT && tody_store_back(&s) == TODY_STORE_STATE);
    CHECK(tody_store_activate(&s, s.running ^ 1) == TODY_STORE_OLD);
    cut->memory[tody_store_slot_at(&s, s.running)] ^= 1;
    tody_store_open(&s, &cut->flash);
    CHECK(tody_store_start(&s) == TODY_NO_SLOT);
}

// A power cut in an upload: it goes on at an erase block, and what is sent again ends the same.
static void check_resume(cut_flash *cut) {
    tody_store s;
    uint32_t next;
    tody_store_open(&s, &cut->flash);
    tody_store_start(&s);
    CHECK(tody_store_begin(&s, MODEL_BYTES, shas[0], 0, &next) == TODY_STORE_OK && next == 0);
    CHECK(tody_store_write(&s, models[0], MODEL_BYTES - 1) == TODY_STORE_OK);
    tody_store_open(&s, &cut->flash);
    CHECK(tody_store_start(&s) == TODY_NO_SLOT);
    CHECK(tody_store_begin(&s, MODEL_BYTES, shas[0], 0, &next) == TODY_STORE_OK && next == 4 * cut->flash.erase_bytes);
    CHECK(tody_store_write(&s, models[0] + next, MODEL_BYTES - next) == TODY_STORE_OK);
    CHECK(tody_store_finish(&s) == TODY_STORE_OK && tody_store_sound(&s, s.target));
}

static void check_wear(cut_flash *cut) {
    tody_store s;
    uint32_t most = 0, least = UINT32_MAX;
    tody_store_open(&s, &cut->flash);
    tody_store_start(&s);
    for (uint32_t i = 0; i < UPDATES; i++) update(&s, i % 3, 0);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        most = cut->wear[i] > most ? cut->wear[i] : most;
        least = cut->wear[i] < least ? cut->wear[i] : least;
    }
    CHECK(most <= UPDATES / 2 + 2 && least >= UPDATES / 2 - 2);  // 4 records an update, 4 in a block: all blocks alike
}

int main(void) {
    void (*const checks[])(cut_flash *cut) = {check_refusals, check_repetition, check_wear, check_decay, check_floor};
    cut_flash cut;
    for (uint32_t m = 0; m < 3; m++) {
        cut_flash random = {.random = m};
        for (uint32_t i = 0; i < MODEL_BYTES; i++) models[m][i] = (uint8_t)cut_random(&random);
        digest(models[m], MODEL_BYTES, MODEL_BYTES, shas[m]);
    }
    check_sha256();
    for (uint32_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        cut_make(&cut, BLOCK, 4, BLOCKS);
        checks[i](&cut);
        CHECK(!cut.dead);
        cut_free(&cut);
    }
    cut_make(&cut, 256, 4, 2 + 2 * 8);
    check_resume(&cut);
    cut_free(&cut);
    return 0;
}
