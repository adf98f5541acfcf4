// power.c - cut the power of the store at every operation of its flash, in every way, and once more while it recovers.
// SPDX-License-Identifier: Apache-2.0
//
// power SEED: prints the number of states, or the first that is wrong (exit code 1).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/sim/cut.h"
#include "firmware/store/sha256.h"
#include "firmware/store/store.h"

enum { MODELS = 4, MODEL_BYTES = 1400, BOOTS = 5 };

// A file, and the number that its upload states.
typedef struct model {
    uint32_t bytes, security;
    uint8_t data[MODEL_BYTES], sha256[32];
} model;

typedef enum verb { UPLOAD, ACTIVATE, CONFIRM, BACK, BOOT } verb;

// A step of a story. `during` and `after`: the models of which one must run when the power comes back in or after the step,
// as bits; NONE: it may be that none runs.
typedef struct step {
    verb verb;
    uint32_t model, during, after;
} step;

enum { A = 1, B = 2, C = 4, D = 8, NONE = 16 };

typedef struct story {
    const char *name;
    uint32_t prepared;  // so many of the steps are done before power cuts begin
    step steps[12];     // up to one with `after` 0
} story;

static const story stories[] = {
    {"first model", 0, {{UPLOAD, 0, A | NONE, A | NONE}, {ACTIVATE, 0, A | NONE, A}, {CONFIRM, 0, A, A}, {0}}},
    {"update",
     3,
     {{UPLOAD, 0, A | NONE, A | NONE},
      {ACTIVATE, 0, A | NONE, A},
      {CONFIRM, 0, A, A},
      {UPLOAD, 1, A, A},
      {ACTIVATE, 1, A | B, A | B},
      {CONFIRM, 1, A | B, B},
      {0}}},
    {"update over an older one",
     6,
     {{UPLOAD, 2, C | NONE, C | NONE},
      {ACTIVATE, 2, C | NONE, C},
      {CONFIRM, 2, C, C},
      {UPLOAD, 0, C, C},
      {ACTIVATE, 0, A | C, A | C},
      {CONFIRM, 0, A | C, A},
      {UPLOAD, 1, A, A},
      {ACTIVATE, 1, A | B, A | B},
      {BOOT, 0, A | B, A | B},
      {CONFIRM, 1, A | B, B},
      {0}}},
    {"roll back",
     3,
     {{UPLOAD, 0, A | NONE, A | NONE},
      {ACTIVATE, 0, A | NONE, A},
      {CONFIRM, 0, A, A},
      {UPLOAD, 1, A, A},
      {ACTIVATE, 1, A | B, A | B},
      {BOOT, 0, A | B, A | B},
      {BACK, 0, A | B, A},
      {0}}},
    {"never confirmed",
     3,
     {{UPLOAD, 0, A | NONE, A | NONE},
      {ACTIVATE, 0, A | NONE, A},
      {CONFIRM, 0, A, A},
      {UPLOAD, 1, A, A},
      {ACTIVATE, 1, A | B, A | B},
      {BOOT, 0, A | B, A | B},
      {BOOT, 0, A | B, A | B},
      {BOOT, 0, A | B, A | B},
      {BOOT, 0, A | B, A},
      {UPLOAD, 3, A, A},
      {0}}},
};

// What is tried, for the message.
typedef struct place {
    const char *story;
    uint32_t erase_bytes, write_bytes, first, second;
    cut_mode mode, second_mode;
} place;

static model models[MODELS];
static place here;
static uint64_t states;

static _Noreturn void fail(const char *what) {
    printf("%s: %s (erase %u, write %u; cut at %u, mode %u; again at %u, mode %u)\n", here.story, what, here.erase_bytes,
           here.write_bytes, here.first, here.mode, here.second, here.second_mode);
    exit(1);
}

// Which model lies in a slot, by its bytes in the memory and not by what the store believes.
static uint32_t content(const cut_flash *cut, const tody_store *store, uint32_t slot) {
    if (slot == TODY_NO_SLOT) return NONE;
    const uint8_t *memory = cut->memory + tody_store_slot_at(store, slot);
    for (uint32_t i = 0; i < MODELS; i++) {
        const bool same = memcmp(memory, models[i].data, models[i].bytes) == 0;
        if (same && store->journal.now.slots[slot].bytes == models[i].bytes) return 1u << i;
    }
    fail("bytes run that are no model");
}

static void boot(cut_flash *cut, tody_store *store) {
    tody_store_open(store, &cut->flash);
    tody_store_start(store);
}

static tody_store_status upload(tody_store *store, const model *m) {
    uint32_t next;
    tody_store_status status = tody_store_begin(store, m->bytes, m->sha256, m->security, &next);
    while (!status && next < m->bytes) {
        const uint32_t part = m->bytes - next < 300 ? m->bytes - next : 300;
        status = tody_store_write(store, m->data + next, part);
        next += part;
    }
    return status ? status : tody_store_finish(store);
}

static uint32_t slot_of(const tody_store *store, const model *m) {
    for (uint32_t slot = 0; slot < TODY_SLOTS; slot++) {
        const tody_slot *s = &store->journal.now.slots[slot];
        if (s->state >= TODY_SLOT_READY && memcmp(s->sha256, m->sha256, 32) == 0) return slot;
    }
    return TODY_NO_SLOT;
}

static tody_store_status activate(tody_store *store, uint32_t slot) {
    if (slot == TODY_NO_SLOT || !tody_store_sound(store, slot)) return TODY_STORE_HASH;
    return tody_store_activate(store, slot);
}

static tody_store_status take(cut_flash *cut, tody_store *store, const step *s) {
    switch (s->verb) {
        case UPLOAD: return upload(store, &models[s->model]);
        case ACTIVATE: return activate(store, slot_of(store, &models[s->model]));
        case CONFIRM: return tody_store_confirm(store);
        case BACK: return tody_store_back(store);
        default: boot(cut, store); return TODY_STORE_OK;
    }
}

// Take the steps of a story until the power fails; where it does, *at is the step.
static bool play(cut_flash *cut, tody_store *store, const story *s, volatile uint32_t *at, uint32_t to) {
    jmp_buf power;
    cut->power = &power;
    if (setjmp(power)) return false;
    for (; *at < to && s->steps[*at].after; (*at)++) {
        tody_store_status status = take(cut, store, &s->steps[*at]);
        if (status == TODY_STORE_FLASH) status = take(cut, store, &s->steps[*at]);  // it failed once; try again
        if (status) fail("a step is refused");
        const bool failed = cut->mode == CUT_FAILURE && cut->operations > cut->cut_at;
        if (failed && s->steps[*at].verb == BOOT) return false;  // a trial whose start cannot be noted may end
        if (!(content(cut, store, store->running) & s->steps[*at].after)) fail("a step runs the wrong model");
    }
    return true;
}

// Start several times; what runs must be among `allowed`, and the floor must stand.
static void check_boots(cut_flash *cut, uint32_t allowed, uint32_t floor) {
    tody_store store;
    cut->cut_at = UINT32_MAX;
    for (uint32_t i = 0; i < BOOTS; i++) {
        boot(cut, &store);
        const uint32_t runs = content(cut, &store, store.running);
        if (!(runs & allowed)) fail(runs == NONE ? "no model runs" : "the wrong model runs");
        if (store.journal.now.floor < floor) fail("the floor fell");
    }
    if (cut->dead) fail(cut->why);
    states++;
}

// Start, bring in the model that the story was about, confirm it: what the laptop does after the cut. The power may fail.
static bool recover(cut_flash *cut, const model *m) {
    jmp_buf power;
    tody_store store;
    cut->power = &power;
    cut->operations = 0;
    if (setjmp(power)) return false;
    boot(cut, &store);
    const bool trial = store.running != TODY_NO_SLOT && store.journal.now.slots[store.running].state == TODY_SLOT_TRIAL;
    if (trial && tody_store_confirm(&store)) fail("no confirmation after a cut");
    if (upload(&store, m) || activate(&store, slot_of(&store, m)) || tody_store_confirm(&store)) fail("no update after a cut");
    return true;
}

static uint32_t floor_of(const story *s, uint32_t steps) {
    uint32_t floor = 0;
    for (uint32_t i = 0; i < steps; i++) {
        const model *m = &models[s->steps[i].model];
        if (s->steps[i].verb == CONFIRM && m->security > floor) floor = m->security;
    }
    return floor;
}

static uint32_t last_model(const story *s) {
    uint32_t last = 0;
    for (const step *step = s->steps; step->after; step++) last = step->verb == UPLOAD ? step->model : last;
    return last;
}

// From what the first cut left: recover, cutting again at every operation of that; `stride` skips some.
static void cut_again(cut_flash *cut, const cut_flash *left, const story *s, uint32_t allowed, uint32_t floor,
                      uint32_t stride) {
    const model *m = &models[last_model(s)];
    for (here.second = cut_random(cut) % stride;; here.second += stride) {
        here.second_mode = (cut_mode)(cut_random(cut) % CUT_FAILURE);
        cut_copy(cut, left);
        cut->cut_at = here.second;
        cut->mode = here.second_mode;
        const bool whole = recover(cut, m);
        check_boots(cut, whole ? 1u << last_model(s) : allowed | 1u << last_model(s), floor);
        if (whole) return;
    }
}

static void sweep(cut_flash *cut, cut_flash *left, const cut_flash *prepared, const story *s, uint32_t stride) {
    for (here.first = 0;; here.first++) {
        bool whole = false;
        for (uint32_t mode = 0; mode < CUT_MODES; mode++) {
            tody_store store;
            volatile uint32_t at = s->prepared;
            here.mode = (cut_mode)mode;
            cut_copy(cut, prepared);
            boot(cut, &store);
            cut->operations = 0;
            cut->cut_at = here.first;
            cut->mode = here.mode;
            whole = play(cut, &store, s, &at, UINT32_MAX);
            const uint32_t allowed = whole ? s->steps[at - 1].after : s->steps[at].during;
            cut_copy(left, cut);
            check_boots(cut, allowed, floor_of(s, at));
            if (!whole) cut_again(cut, left, s, allowed, floor_of(s, at), stride);
        }
        if (whole && cut->operations <= here.first) return;
    }
}

static void tell(const story *s, uint32_t erase_bytes, uint32_t write_bytes, uint32_t seed, uint32_t stride) {
    cut_flash cut, left, prepared;
    cut_flash *all[] = {&cut, &left, &prepared};
    tody_store store;
    volatile uint32_t at = 0;
    const uint32_t slot_blocks = (MODEL_BYTES + erase_bytes - 1) / erase_bytes;
    for (uint32_t i = 0; i < 3; i++) cut_make(all[i], erase_bytes, write_bytes, 2 + 2 * slot_blocks);
    cut.random = seed;
    here = (place){.story = s->name, .erase_bytes = erase_bytes, .write_bytes = write_bytes};
    boot(&prepared, &store);
    play(&prepared, &store, s, &at, s->prepared);
    sweep(&cut, &left, &prepared, s, stride);
    for (uint32_t i = 0; i < 3; i++) cut_free(all[i]);
}

static void make_models(void) {
    static const uint32_t securities[MODELS] = {1, 2, 0, 3};
    cut_flash random = {.random = 7};
    for (uint32_t i = 0; i < MODELS; i++) {
        model *m = &models[i];
        tody_sha256 sha;
        m->bytes = MODEL_BYTES - 100 * i - 1;
        m->security = securities[i];
        for (uint32_t j = 0; j < m->bytes; j++) m->data[j] = (uint8_t)cut_random(&random);
        tody_sha256_begin(&sha);
        tody_sha256_add(&sha, m->data, m->bytes);
        tody_sha256_end(&sha, m->sha256);
    }
}

int main(int argc, char **argv) {
    static const uint32_t geometries[][2] = {{256, 256}, {512, 4}, {1024, 16}};  // erase_bytes, write_bytes
    const uint32_t seed = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1;
    const uint32_t stride = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
    make_models();
    for (uint32_t g = 0; g < sizeof geometries / sizeof *geometries; g++) {
        for (uint32_t i = 0; i < sizeof stories / sizeof *stories; i++) {
            tell(&stories[i], geometries[g][0], geometries[g][1], seed + i, stride);
        }
    }
    printf("%llu states\n", (unsigned long long)states);
    return 0;
}
