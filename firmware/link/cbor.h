// cbor.h - the CBOR (RFC 8949) that SMP needs: flat maps with text keys in, maps and arrays of definite length out.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_CBOR_H
#define TODY_CBOR_H

#include <stdbool.h>
#include <stdint.h>

// A map that was proved well-formed: no later look at it can leave it.
typedef struct tody_map {
    const uint8_t *data;  // behind the head
    uint32_t bytes, pairs;
} tody_map;

// False: not one well-formed map that fills the bytes, or one of indefinite length.
bool tody_map_open(tody_map *map, const uint8_t *data, uint32_t bytes);

// The value of a key. False: the map lacks it, or it is of another type. Later ones of the same key are ignored.
bool tody_map_uint(const tody_map *map, const char *key, uint64_t *value);
bool tody_map_u32(const tody_map *map, const char *key, uint32_t *value);
bool tody_map_float(const tody_map *map, const char *key, float *value);  // of 32 bits
bool tody_map_bool(const tody_map *map, const char *key, bool *value);
bool tody_map_bytes(const tody_map *map, const char *key, const uint8_t **data, uint32_t *bytes);
bool tody_map_text(const tody_map *map, const char *key, const uint8_t **text, uint32_t *bytes);
bool tody_map_has(const tody_map *map, const char *key);

// Where the next item goes. What does not fit any more sets `full` and writes nothing.
typedef struct tody_cbor {
    uint8_t *at;
    const uint8_t *end;
    bool full;
} tody_cbor;

void tody_put_map(tody_cbor *out, uint32_t pairs);  // 2 * pairs items follow
void tody_put_array(tody_cbor *out, uint32_t items);
void tody_put_uint(tody_cbor *out, uint64_t value);
void tody_put_float(tody_cbor *out, float value);
void tody_put_bool(tody_cbor *out, bool value);
void tody_put_text(tody_cbor *out, const char *text);
void tody_put_string(tody_cbor *out, const uint8_t *text, uint32_t bytes);  // text; it may lie where it is written
void tody_put_bytes(tody_cbor *out, const uint8_t *data, uint32_t bytes);
uint8_t *tody_put_room(tody_cbor *out, uint32_t bytes);  // a byte string that the caller fills; NULL: full

void tody_put_key_uint(tody_cbor *out, const char *key, uint64_t value);
void tody_put_key_bool(tody_cbor *out, const char *key, bool value);
void tody_put_key_text(tody_cbor *out, const char *key, const char *text);

#endif
