// link.c - hostile bytes, frames and messages for firmware/link, with the sanitizers watching and every answer checked.
// SPDX-License-Identifier: Apache-2.0
//
// link [CASES [SEED]] MODEL.tody ..
#include "link/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/model.h"
#include "link/cbor.h"

enum { SLOTS = 2, SLOT_BYTES = 4096, LONGEST = 4096 };

typedef struct world {
    uint8_t *slots[SLOTS];  // each its own block, so that one byte too far is seen
    uint32_t wanted, next, chance;
    tody_model model;
    void *file, *arena, *scratch;  // of the model
    bool loaded;
    uint8_t sent[8192];
    uint32_t sent_bytes;
    unsigned long answers, refusals, resets, uploads, runs;
} world;

static uint64_t state;

static uint32_t dice(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 24);
}

static uint32_t below(uint32_t n) { return dice() % n; }

static void fail(const char *what) {
    fprintf(stderr, "link: %s\n", what);
    abort();
}

// The app: what it is asked for must keep the contract of link.h.
static void send(void *self, const uint8_t *data, uint32_t bytes) {
    world *w = self;
    if (bytes > sizeof w->sent - w->sent_bytes) fail("an answer that is too long");
    memcpy(w->sent + w->sent_bytes, data, bytes);
    w->sent_bytes += bytes;
}

static uint32_t time_us(void *self) {
    (void)self;
    return dice();
}

static void info(void *self, tody_link_info *out) {
    (void)self;
    *out = (tody_link_info){.board = "fuzz", .cpu = "host", .kernels = "portable", .slot_bytes = SLOT_BYTES};
}

static void reset(void *self) { ((world *)self)->resets++; }

static bool slot(void *self, uint32_t index, tody_link_slot *out) {
    static const char *const states[] = {"empty", "loading", "broken", "ready", "trial", "confirmed"};
    const world *w = self;
    if (index >= SLOTS) return false;
    *out = (tody_link_slot){
        .state = states[(w->chance >> 8 * index) % 6], .running = index == 0, .bytes = SLOT_BYTES, .security = dice()};
    return true;
}

static bool read_slot(void *self, uint32_t index, uint32_t at, void *to, uint32_t bytes) {
    const world *w = self;
    if (index >= SLOTS || at > SLOT_BYTES || bytes > SLOT_BYTES - at) return false;
    memcpy(to, w->slots[index] + at, bytes);
    return true;
}

static tody_rc begin(void *self, uint32_t bytes, const uint8_t sha[32], uint32_t security, uint32_t *next) {
    world *w = self;
    (void)security;
    if (!bytes || bytes > SLOT_BYTES) fail("an upload of a size that no slot has");
    w->wanted = bytes;
    w->next = *next = sha[0] & 1 ? bytes / 2 : 0;  // as if it had been cut off there
    return TODY_RC_OK;
}

static tody_rc write_slot(void *self, uint32_t at, const uint8_t *data, uint32_t bytes) {
    world *w = self;
    if (at != w->next || bytes > w->wanted - at) fail("bytes that were not asked for");
    memcpy(w->slots[1] + at, data, bytes);
    w->next += bytes;
    return below(100) ? TODY_RC_OK : TODY_RC_UNKNOWN;
}

static tody_rc finish(void *self) {
    world *w = self;
    if (w->next != w->wanted) fail("an end before the last byte");
    w->uploads++;
    return below(4) ? TODY_RC_OK : TODY_RC_CORRUPT;
}

static tody_rc one_slot(void *self, uint32_t index) {
    (void)self;
    return index < SLOTS ? TODY_RC_OK : TODY_RC_INVALID;
}

static tody_rc erase(void *self, uint32_t index) {
    ((world *)self)->wanted = 0;
    return one_slot(self, index);
}

static tody_rc nothing(void *self) {
    (void)self;
    return below(2) ? TODY_RC_OK : TODY_RC_MODEL + 13;
}

static tody_model *model(void *self) {
    world *w = self;
    w->runs++;
    return w->loaded ? &w->model : NULL;
}

// Every answer is one sound packet with one well-formed map, and no longer than a packet may be.
static uint32_t digits(const uint8_t *text, uint32_t count, uint8_t *out) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0, held = 0, made = 0;
    for (uint32_t i = 0; i < count && text[i] != '='; i++) {
        const char *found = memchr(alphabet, text[i], 64);
        if (!found) fail("an answer with a digit that is none");
        bits = bits << 6 | (uint32_t)(found - alphabet);
        held += 6;
        if (held >= 8) out[made++] = (uint8_t)(bits >> (held -= 8));
    }
    return made;
}

static uint32_t unpack(const world *w, uint8_t *packet) {
    uint32_t made = 0;
    for (uint32_t at = 0; at < w->sent_bytes;) {
        const uint8_t *line = w->sent + at, *end = memchr(line, '\n', w->sent_bytes - at);
        if (end == line + 1 && *line == '?') {  // a complaint, between answers
            at += 2;
            continue;
        }
        if (!end || end - line > 127 || memcmp(line, made ? "\x04\x14" : "\x06\x09", 2) != 0) fail("an answer's line is wrong");
        made += digits(line + 2, (uint32_t)(end - line - 2), packet + made);
        at += (uint32_t)(end + 1 - line);
    }
    return made;
}

static void check_answer(world *w) {
    uint8_t packet[2 * TODY_LINK_BUFFER];
    const uint32_t bytes = unpack(w, packet);
    if (!bytes) return;
    const uint32_t length = (uint32_t)packet[0] << 8 | packet[1];
    tody_map map;
    uint32_t rc;
    if (bytes != length + 2 || bytes > TODY_LINK_BUFFER || length < 10) fail("an answer of a wrong length");
    if (((uint32_t)packet[4] << 8 | packet[5]) + 10 != length) fail("a header of a wrong length");
    if (!tody_map_open(&map, packet + 10, length - 10)) fail("an answer that is no map");
    if (!(packet[2] & 1)) fail("an answer that is a question");
    w->answers++;
    w->refusals += tody_map_u32(&map, "rc", &rc);
    w->sent_bytes = 0;
}

// What goes in.
static uint32_t frame(const uint8_t *message, uint32_t bytes, uint8_t *out) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t packet[LONGEST + 4];
    uint32_t crc = 0, made = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        crc ^= (uint32_t)message[i] << 8;
        for (uint32_t bit = 0; bit < 8; bit++) crc = (crc << 1 ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
    }
    const uint32_t length = bytes + 2;
    packet[0] = (uint8_t)(length >> 8), packet[1] = (uint8_t)length;
    memcpy(packet + 2, message, bytes);
    packet[2 + bytes] = (uint8_t)(crc >> 8), packet[3 + bytes] = (uint8_t)crc;
    for (uint32_t i = 0; i < bytes + 4; i += 3) {
        const uint32_t left = bytes + 4 - i;
        const uint32_t three = (uint32_t)packet[i] << 16 | (left > 1 ? (uint32_t)packet[i + 1] << 8 : 0) |
                               (left > 2 ? (uint32_t)packet[i + 2] : 0u);
        if (i % 93 == 0) memcpy(out + made, i ? "\n\x04\x14" : "\x06\x09", i ? 3 : 2), made += i ? 3u : 2u;
        for (uint32_t k = 0; k < 4; k++) out[made++] = (uint8_t)(k > left ? '=' : alphabet[three >> (18 - 6 * k) & 63]);
    }
    out[made++] = '\n';
    return made;
}

static uint64_t hostile(void) {
    static const uint64_t odd[] = {0, 1, 4095, 4096, 4097, UINT32_MAX - 255, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX};
    return below(2) ? below(64) : below(3) ? odd[below(sizeof odd / sizeof *odd)] : (uint64_t)dice() << below(33);
}

// Mostly what lets an upload go on.
static uint64_t number(const char *key, const world *w) {
    if (below(8) == 0) return hostile();
    if (!strcmp(key, "len")) return 1 + below(24);
    if (!strcmp(key, "image")) return 0;
    if (!strcmp(key, "off")) return below(2) ? w->next : 0;
    return hostile();
}

static void put_value(tody_cbor *c, const char *key, const world *w) {
    static const uint8_t zeros[512] = {0};
    const char *const bytes[] = {"data", "sha", "hash"};
    uint32_t is_bytes = 0;
    for (uint32_t i = 0; i < 3; i++) is_bytes |= !strcmp(key, bytes[i]);
    if (below(16) == 0) is_bytes ^= 1;
    if (is_bytes) {
        uint8_t some[32] = {(uint8_t)dice()};
        if (key[0] == 'd')
            tody_put_bytes(c, zeros, below(below(2) ? 16 : sizeof zeros));
        else
            tody_put_bytes(c, some, below(32) ? 32 : below(32));
    } else if (key[0] == 'd') {
        tody_put_text(c, "hello");
    } else if (!strcmp(key, "low") || !strcmp(key, "high")) {
        tody_put_float(c, (float)below(400) - 200.0f);
    } else if (!strcmp(key, "confirm")) {
        tody_put_bool(c, below(2));
    } else {
        tody_put_uint(c, number(key, w));
    }
}

typedef struct command {
    uint8_t op, group, id;
    const char *keys;
} command;

static const command commands[] = {
    {2, 0, 0, "d"},
    {2, 0, 5, ""},
    {0, 0, 6, ""},
    {0, 1, 0, ""},
    {2, 1, 0, "hash confirm"},
    {2, 1, 1, "off len sha data image"},
    {2, 1, 1, "off data"},
    {2, 1, 1, "off len sha sec data"},
    {2, 1, 5, "slot"},
    {0, 65, 0, ""},
    {0, 65, 1, "off"},
    {0, 65, 2, ""},
    {0, 65, 3, "slot off n"},
    {2, 65, 4, "slot from off n"},
    {2, 65, 5, "i off data"},
    {2, 65, 5, "i seed low high"},
    {2, 65, 6, ""},
    {0, 65, 7, "i off most"},
    {2, 65, 8, "i off n stride"},
    {0, 65, 9, "op"},
    {2, 65, 10, "slot"},
    {2, 65, 11, ""},
    {2, 65, 12, ""},
    {0, 65, 13, ""},
    {0, 65, 14, "slot off most"},
};

// A command with its arguments, or those of another one.
static uint32_t request(const world *w, uint8_t *message) {
    const uint32_t known = sizeof commands / sizeof *commands;
    const command *of = &commands[below(known)], *keys = below(8) ? of : &commands[below(known)];
    tody_cbor c = {.at = message + 8, .end = message + LONGEST};
    char set[32], *rest = set;
    strcpy(set, keys->keys);
    uint32_t count = *set != 0;
    for (const char *s = set; *s; s++) count += *s == ' ';
    tody_put_map(&c, count);
    for (char *key = strtok_r(set, " ", &rest); key; key = strtok_r(NULL, " ", &rest)) {
        tody_put_text(&c, key);
        put_value(&c, key, w);
    }
    const uint32_t body = (uint32_t)(c.at - message) - 8;
    const uint8_t header[8] = {(uint8_t)(8 | of->op), 0,     (uint8_t)(body >> 8), (uint8_t)body, 0, of->group,
                               (uint8_t)dice(),       of->id};
    memcpy(message, header, 8);
    return body + 8;
}

static void damage(uint8_t *data, uint32_t *bytes) {
    for (uint32_t i = below(4); i--;) {
        const uint32_t at = below(*bytes);
        if (below(3))
            data[at] = (uint8_t)dice();
        else if (*bytes > 12 && below(2))
            memmove(data + at, data + at + 1, --*bytes - at);
    }
}

static void feed(world *w, tody_link *link, const uint8_t *line, uint32_t bytes) {
    for (uint32_t at = 0; at < bytes;) {
        const uint32_t left = bytes - at, count = 1 + below(left);
        uint8_t *piece = malloc(count);
        memcpy(piece, line + at, count);
        tody_link_feed(link, piece, count);
        free(piece);
        at += count;
        check_answer(w);
    }
}

static void one_case(world *w, tody_link *link) {
    uint8_t message[LONGEST], line[3 * LONGEST];
    w->chance = dice();
    uint32_t bytes = request(w, message);
    const uint32_t kind = below(10);
    if (kind < 3) damage(message, &bytes);
    uint32_t count = frame(message, bytes, line);
    if (kind >= 8) damage(line, &count);
    if (kind == 9) {
        for (uint32_t i = 0; i < count; i++)
            line[i] = below(3) ? (uint8_t)"\x06\x09\x04\x14\n=\rAAAA"[below(11)] : (uint8_t)dice();
    }
    feed(w, link, line, count);
}

static bool load(world *w, const char *name) {
    FILE *file = fopen(name, "rb");
    if (!file || fseek(file, 0, SEEK_END)) fail(name);
    const size_t bytes = (size_t)ftell(file);
    free(w->file), free(w->arena), free(w->scratch);
    w->file = aligned_alloc(64, (bytes + 63) / 64 * 64), w->arena = w->scratch = NULL;
    rewind(file);
    if (fread(w->file, 1, bytes, file) != bytes) fail(name);
    fclose(file);
    static tody_kernels kernels;
    kernels = tody_kernels_pick(0, "portable");
    const tody_setup setup = {.kernels = &kernels};
    if (tody_open(&w->model, w->file, bytes, &setup)) return false;
    const size_t arena = (w->model.need.arena_bytes + 127) / 64 * 64, scratch = (w->model.need.scratch_bytes + 127) / 64 * 64;
    w->arena = aligned_alloc(64, arena), w->scratch = aligned_alloc(64, scratch);
    return !tody_bind(&w->model, w->arena, arena, w->scratch, scratch);
}

int main(int argc, char **argv) {
    const unsigned long cases = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
    state = 0x9E3779B97F4A7C15u * (argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
    static world w;
    for (uint32_t i = 0; i < SLOTS; i++) w.slots[i] = calloc(SLOT_BYTES, 1);
    const tody_link_app app = {.self = &w,
                               .send = send,
                               .time_us = time_us,
                               .info = info,
                               .reset = reset,
                               .slot = slot,
                               .read = read_slot,
                               .begin = begin,
                               .write = write_slot,
                               .finish = finish,
                               .erase = erase,
                               .activate = one_slot,
                               .confirm = nothing,
                               .back = nothing,
                               .ops = tody_ops,
                               .model = model};
    tody_link *link = malloc(sizeof *link);
    tody_link_begin(link, &app);
    for (unsigned long i = 0; i < cases; i++) {
        if (argc > 3 && i % 5000 == 0) w.loaded = load(&w, argv[3 + i / 5000 % (unsigned long)(argc - 3)]);
        one_case(&w, link);
    }
    printf("%lu cases: %lu answers, %lu of them refusals, %lu uploads, %lu questions about a model, %lu resets; no finding\n",
           cases, w.answers, w.refusals, w.uploads, w.runs, w.resets);
    free(w.file), free(w.arena), free(w.scratch);
    for (uint32_t i = 0; i < SLOTS; i++) free(w.slots[i]);
    free(link);
    return 0;
}
