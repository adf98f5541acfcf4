// group_slots.c - SMP group 65, first half: what the device is, and its slots.
// SPDX-License-Identifier: Apache-2.0
#include <stddef.h>

#include "core/format.h"
#include "core/model.h"
#include "smp.h"

enum { INFO = 0, OPS = 1, SLOTS = 2, BLOCKS = 3, COPY = 4, ACTIVATE = 10, CONFIRM = 11, BACK = 12, METADATA = 14 };
enum { OPS_AT_ONCE = 8, BLOCK = 256, READ_BYTES = 64, SHA_BYTES = 32, META_BYTES = 1024 };

static tody_rc info(tody_link *link, const tody_map *in, tody_cbor *out) {
    (void)in;
    tody_link_info i = {0};
    link->app->info(link->app->self, &i);
    tody_put_map(out, 11);
    tody_put_key_text(out, "v", TODY_VERSION);
    tody_put_key_uint(out, "fmt", TODY_FORMAT_MAJOR << 8 | TODY_FORMAT_MINOR);
    tody_put_key_text(out, "board", i.board);
    tody_put_key_text(out, "cpu", i.cpu);
    tody_put_key_text(out, "kern", i.kernels);
    tody_put_key_uint(out, "slot", i.slot_bytes);
    tody_put_key_uint(out, "arena", i.arena_bytes);
    tody_put_key_uint(out, "buf", TODY_LINK_BUFFER);
    tody_put_key_uint(out, "up", i.uptime_ms);
    tody_put_key_uint(out, "boots", i.boots);
    tody_put_key_bool(out, "safe", i.safe);
    return TODY_RC_OK;
}

static tody_rc ops(tody_link *link, const tody_map *in, tody_cbor *out) {
    const tody_op *const *list = link->app->ops;
    uint32_t first, total = 0;
    if (!tody_optional_u32(in, "off", 0, &first)) return TODY_RC_INVALID;
    while (list[total]) total++;
    if (first > total) return TODY_RC_INVALID;
    const uint32_t left = total - first, count = left < OPS_AT_ONCE ? left : OPS_AT_ONCE;
    tody_put_map(out, 2);
    tody_put_text(out, "ops");
    tody_put_array(out, count);
    for (uint32_t i = 0; i < count; i++) tody_put_text(out, list[first + i]->name);
    tody_put_key_uint(out, "n", total);
    return TODY_RC_OK;
}

static tody_rc slots(tody_link *link, const tody_map *in, tody_cbor *out) {
    const tody_link_app *app = link->app;
    tody_link_slot slot;
    tody_link_info i = {0};
    uint32_t first, most, total = 0;
    if (!tody_optional_u32(in, "off", 0, &first) || !tody_optional_u32(in, "most", UINT32_MAX, &most)) return TODY_RC_INVALID;
    app->info(app->self, &i);
    while (app->slot(app->self, total, &slot)) total++;
    if (first > total) return TODY_RC_INVALID;
    const uint32_t left = total - first, count = left < most ? left : most;
    tody_put_map(out, 3);
    tody_put_key_uint(out, "n", total);
    tody_put_text(out, "slots");
    tody_put_array(out, count);
    for (uint32_t n = first; n < first + count && app->slot(app->self, n, &slot); n++) {
        tody_put_map(out, 6);
        tody_put_key_uint(out, "slot", n);
        tody_put_key_text(out, "state", slot.state);
        tody_put_key_bool(out, "run", slot.running);
        tody_put_key_uint(out, "bytes", slot.bytes);
        tody_put_text(out, "sha");
        tody_put_bytes(out, slot.sha, SHA_BYTES);
        tody_put_key_uint(out, "sec", slot.security);
    }
    tody_put_key_uint(out, "floor", i.security_floor);
    return TODY_RC_OK;
}

static bool block_crc(const tody_link_app *app, uint32_t slot, uint32_t at, uint32_t *crc) {
    uint8_t some[READ_BYTES];
    *crc = 0;
    for (uint32_t done = 0; done < BLOCK; done += READ_BYTES) {
        if (!app->read(app->self, slot, at + done, some, READ_BYTES)) return false;
        *crc = tody_crc32(*crc, some, READ_BYTES);
    }
    return true;
}

// The CRC-32 of so many blocks from a place in a slot on, big-endian.
static tody_rc blocks(tody_link *link, const tody_map *in, tody_cbor *out) {
    uint32_t slot, at, count, crc;
    if (!tody_map_u32(in, "slot", &slot) || !tody_map_u32(in, "off", &at)) return TODY_RC_INVALID;
    if (!tody_map_u32(in, "n", &count) || count > TODY_LINK_BUFFER / 4) return TODY_RC_INVALID;
    tody_put_map(out, 2);
    tody_put_key_uint(out, "block", BLOCK);
    tody_put_text(out, "crc");
    uint8_t *room = tody_put_room(out, 4 * count);
    for (uint32_t i = 0; room && i < count; i++) {
        if (at > UINT32_MAX - BLOCK * count || !block_crc(link->app, slot, at + i * BLOCK, &crc)) return TODY_RC_INVALID;
        for (uint32_t k = 0; k < 4; k++) *room++ = (uint8_t)(crc >> (24 - 8 * k));
    }
    return TODY_RC_OK;
}

// The metadata of the file in a slot, in which a laptop finds the model's name, and nothing else of the file.
static tody_rc metadata(tody_link *link, const tody_map *in, tody_cbor *out) {
    const tody_link_app *app = link->app;
    uint32_t slot, at, most, place[2];  // as the header has them: meta_at, meta_bytes
    if (!tody_map_u32(in, "slot", &slot) || !tody_map_u32(in, "off", &at)) return TODY_RC_INVALID;
    if (!tody_optional_u32(in, "most", META_BYTES, &most)) return TODY_RC_INVALID;
    if (!app->read(app->self, slot, offsetof(tody_header, meta_at), place, sizeof place)) return TODY_RC_NO_ENTRY;
    if (at > place[1] || place[0] > UINT32_MAX - place[1]) return TODY_RC_NO_ENTRY;
    uint32_t count = most < META_BYTES ? most : META_BYTES;
    if (count > place[1] - at) count = place[1] - at;
    tody_put_map(out, 2);
    tody_put_key_uint(out, "n", place[1]);
    tody_put_text(out, "data");
    uint8_t *room = tody_put_room(out, count);
    return !room || app->read(app->self, slot, place[0] + at, room, count) ? TODY_RC_OK : TODY_RC_NO_ENTRY;
}

static tody_rc copy(tody_link *link, const tody_map *in, tody_cbor *out) {
    tody_piece piece = {0};
    if (!tody_map_u32(in, "slot", &piece.slot) || !tody_map_u32(in, "from", &piece.from)) return TODY_RC_INVALID;
    if (!tody_map_u32(in, "off", &piece.at) || !tody_map_u32(in, "n", &piece.bytes)) return TODY_RC_INVALID;
    if (piece.bytes > UINT32_MAX - piece.from) return TODY_RC_INVALID;
    return tody_upload(link, &piece, out);
}

static tody_rc activate(tody_link *link, const tody_map *in, tody_cbor *out) {
    (void)out;
    const tody_link_app *app = link->app;
    tody_link_slot slot;
    uint32_t index;
    if (!tody_map_u32(in, "slot", &index)) return TODY_RC_INVALID;
    if (!app->slot(app->self, index, &slot)) return TODY_RC_NO_ENTRY;
    return slot.running ? TODY_RC_OK : app->activate(app->self, index);
}

static tody_rc confirm(tody_link *link, const tody_map *in, tody_cbor *out) {
    (void)in, (void)out;
    return link->app->confirm(link->app->self);
}

static tody_rc back(tody_link *link, const tody_map *in, tody_cbor *out) {
    (void)in, (void)out;
    return link->app->back(link->app->self);
}

const tody_command tody_slot_commands[] = {
    {TODY_GROUP_TODY, TODY_SMP_READ, INFO, info},         {TODY_GROUP_TODY, TODY_SMP_READ, OPS, ops},
    {TODY_GROUP_TODY, TODY_SMP_READ, SLOTS, slots},       {TODY_GROUP_TODY, TODY_SMP_READ, BLOCKS, blocks},
    {TODY_GROUP_TODY, TODY_SMP_WRITE, COPY, copy},        {TODY_GROUP_TODY, TODY_SMP_WRITE, ACTIVATE, activate},
    {TODY_GROUP_TODY, TODY_SMP_WRITE, CONFIRM, confirm},  {TODY_GROUP_TODY, TODY_SMP_WRITE, BACK, back},
    {TODY_GROUP_TODY, TODY_SMP_READ, METADATA, metadata}, {0},
};
