// cbor.c - the CBOR (RFC 8949) that SMP needs.
// SPDX-License-Identifier: Apache-2.0
#include "cbor.h"

#include <string.h>

// Major types, and the simple values that are used.
enum { UINT = 0, NEGATIVE = 1, BYTES = 2, TEXT = 3, ARRAY = 4, MAP = 5, TAG = 6, SIMPLE = 7 };
enum { FALSE_VALUE = 20, TRUE_VALUE = 21, FLOAT32 = 26 };

typedef struct head {
    uint8_t major, info;  // info: the lower five bits
    uint64_t value;
} head;

// The head of an item; moves *at behind it. False: it is cut off, or its length is indefinite or reserved.
static bool read_head(const uint8_t **at, const uint8_t *end, head *out) {
    if (*at == end) return false;
    const uint8_t first = *(*at)++;
    out->major = first >> 5;
    out->info = first & 31u;
    out->value = out->info;
    if (out->info < 24) return true;
    if (out->info > 27) return false;
    const uint32_t bytes = 1u << (out->info - 24);
    if ((uint64_t)(end - *at) < bytes) return false;
    out->value = 0;
    for (uint32_t i = 0; i < bytes; i++) out->value = out->value << 8 | *(*at)++;
    return true;
}

// Move *at behind so many items and what they hold. `waiting` counts instead of a stack, so nesting costs nothing; it stays
// below twice the bytes that are left, because every item takes one at least.
static bool skip(const uint8_t **at, const uint8_t *end, uint64_t waiting) {
    for (; waiting; waiting--) {
        head h;
        if (!read_head(at, end, &h)) return false;
        const uint64_t left = (uint64_t)(end - *at);
        if (h.major == BYTES || h.major == TEXT) {
            if (h.value > left) return false;
            *at += h.value;
        } else if (h.major >= ARRAY && h.major <= TAG) {
            if (h.major != TAG && h.value > left) return false;
            waiting += h.major == TAG ? 1 : h.major == MAP ? 2 * h.value : h.value;
        }
    }
    return true;
}

bool tody_map_open(tody_map *map, const uint8_t *data, uint32_t bytes) {
    const uint8_t *at = data, *end = data + bytes;
    head h;
    if (!read_head(&at, end, &h) || h.major != MAP || h.value > bytes) return false;
    map->data = at;
    map->bytes = (uint32_t)(end - at);
    map->pairs = (uint32_t)h.value;
    return skip(&at, end, 2 * h.value) && at == end;
}

// The head of a key's value; *at: what follows it.
static bool find(const tody_map *map, const char *key, head *value, const uint8_t **at) {
    const uint8_t *end = map->data + map->bytes;
    const size_t length = strlen(key);
    *at = map->data;
    for (uint32_t i = 0; i < map->pairs; i++) {
        const uint8_t *text = *at;
        head h;
        if (!read_head(&text, end, &h) || !skip(at, end, 1)) return false;
        if (h.major == TEXT && h.value == length && !memcmp(text, key, length)) return read_head(at, end, value);
        if (!skip(at, end, 1)) return false;
    }
    return false;
}

bool tody_map_has(const tody_map *map, const char *key) {
    head h;
    const uint8_t *at;
    return find(map, key, &h, &at);
}

bool tody_map_uint(const tody_map *map, const char *key, uint64_t *value) {
    head h;
    const uint8_t *at;
    if (!find(map, key, &h, &at) || h.major != UINT) return false;
    *value = h.value;
    return true;
}

bool tody_map_u32(const tody_map *map, const char *key, uint32_t *value) {
    uint64_t wide;
    if (!tody_map_uint(map, key, &wide) || wide > UINT32_MAX) return false;
    *value = (uint32_t)wide;
    return true;
}

bool tody_map_float(const tody_map *map, const char *key, float *value) {
    head h;
    const uint8_t *at;
    if (!find(map, key, &h, &at) || h.major != SIMPLE || h.info != FLOAT32) return false;
    const uint32_t bits = (uint32_t)h.value;
    memcpy(value, &bits, sizeof bits);
    return true;
}

bool tody_map_bool(const tody_map *map, const char *key, bool *value) {
    head h;
    const uint8_t *at;
    if (!find(map, key, &h, &at) || h.major != SIMPLE || (h.info != FALSE_VALUE && h.info != TRUE_VALUE)) return false;
    *value = h.info == TRUE_VALUE;
    return true;
}

static bool string(const tody_map *map, const char *key, uint8_t major, const uint8_t **data, uint32_t *bytes) {
    head h;
    if (!find(map, key, &h, data) || h.major != major) return false;
    *bytes = (uint32_t)h.value;
    return true;
}

bool tody_map_bytes(const tody_map *map, const char *key, const uint8_t **data, uint32_t *bytes) {
    return string(map, key, BYTES, data, bytes);
}

bool tody_map_text(const tody_map *map, const char *key, const uint8_t **text, uint32_t *bytes) {
    return string(map, key, TEXT, text, bytes);
}

// Room for so many bytes, or NULL.
static uint8_t *take(tody_cbor *out, uint32_t bytes) {
    if (out->full || (uint64_t)(out->end - out->at) < bytes) {
        out->full = true;
        return NULL;
    }
    uint8_t *room = out->at;
    out->at += bytes;
    return room;
}

// The lower bytes of a value, highest first, behind the first byte of a head.
static void put_wide(tody_cbor *out, uint8_t major, uint8_t info, uint64_t value) {
    const uint32_t bytes = info < 24 ? 0 : 1u << (info - 24);
    uint8_t *room = take(out, 1 + bytes);
    if (!room) return;
    room[0] = (uint8_t)(major << 5 | info);
    for (uint32_t i = 0; i < bytes; i++) room[1 + i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static void put_head(tody_cbor *out, uint8_t major, uint64_t value) {
    const uint8_t info = value < 24            ? (uint8_t)value
                         : value <= UINT8_MAX  ? 24
                         : value <= UINT16_MAX ? 25
                         : value <= UINT32_MAX ? 26
                                               : 27;
    put_wide(out, major, info, value);
}

void tody_put_map(tody_cbor *out, uint32_t pairs) { put_head(out, MAP, pairs); }
void tody_put_array(tody_cbor *out, uint32_t items) { put_head(out, ARRAY, items); }
void tody_put_uint(tody_cbor *out, uint64_t value) { put_head(out, UINT, value); }
void tody_put_bool(tody_cbor *out, bool value) { put_wide(out, SIMPLE, value ? TRUE_VALUE : FALSE_VALUE, 0); }

void tody_put_float(tody_cbor *out, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_wide(out, SIMPLE, FLOAT32, bits);
}

void tody_put_string(tody_cbor *out, const uint8_t *text, uint32_t bytes) {
    put_head(out, TEXT, bytes);
    uint8_t *room = take(out, bytes);
    if (room) memmove(room, text, bytes);
}

void tody_put_text(tody_cbor *out, const char *text) { tody_put_string(out, (const uint8_t *)text, (uint32_t)strlen(text)); }

uint8_t *tody_put_room(tody_cbor *out, uint32_t bytes) {
    put_head(out, BYTES, bytes);
    return take(out, bytes);
}

void tody_put_bytes(tody_cbor *out, const uint8_t *data, uint32_t bytes) {
    uint8_t *room = tody_put_room(out, bytes);
    if (room) memcpy(room, data, bytes);
}

void tody_put_key_uint(tody_cbor *out, const char *key, uint64_t value) {
    tody_put_text(out, key);
    tody_put_uint(out, value);
}

void tody_put_key_bool(tody_cbor *out, const char *key, bool value) {
    tody_put_text(out, key);
    tody_put_bool(out, value);
}

void tody_put_key_text(tody_cbor *out, const char *key, const char *text) {
    tody_put_text(out, key);
    tody_put_text(out, text);
}
