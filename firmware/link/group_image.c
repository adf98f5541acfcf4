// group_image.c - SMP group 1: slots as stock tools see them, upload and erase.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "smp.h"

enum { GROUP = 1, STATE = 0, UPLOAD = 1, ERASE = 5, SHA_BYTES = 32 };

// "0.0." and the security number: what MCUboot's tools take for a version.
static void put_version(tody_cbor *out, uint32_t security) {
    char text[16] = "0.0.";
    uint32_t at = sizeof text - 1, begin = 4;
    do {
        text[--at] = (char)('0' + security % 10u);
    } while (security /= 10u);
    while (at < sizeof text - 1) text[begin++] = text[at++];
    text[begin] = 0;
    tody_put_text(out, text);
}

static bool holds_file(const tody_link_slot *slot) {
    return strcmp(slot->state, "empty") && strcmp(slot->state, "loading") && strcmp(slot->state, "broken");
}

static void put_slot(tody_cbor *out, uint32_t index, const tody_link_slot *slot) {
    tody_put_map(out, 7);
    tody_put_key_uint(out, "slot", index);
    tody_put_text(out, "version");
    put_version(out, slot->security);
    tody_put_text(out, "hash");
    tody_put_bytes(out, slot->sha, SHA_BYTES);
    tody_put_key_bool(out, "bootable", true);
    tody_put_key_bool(out, "active", slot->running);
    tody_put_key_bool(out, "confirmed", !strcmp(slot->state, "confirmed"));
    tody_put_key_bool(out, "pending", !slot->running && !strcmp(slot->state, "trial"));
}

static tody_rc state(tody_link *link, const tody_map *in, tody_cbor *out) {
    (void)in;
    const tody_link_app *app = link->app;
    tody_link_slot slot;
    uint32_t images = 0;
    for (uint32_t i = 0; app->slot(app->self, i, &slot); i++) images += holds_file(&slot);
    tody_put_map(out, 1);
    tody_put_text(out, "images");
    tody_put_array(out, images);
    for (uint32_t i = 0; app->slot(app->self, i, &slot); i++) {
        if (holds_file(&slot)) put_slot(out, i, &slot);
    }
    return TODY_RC_OK;
}

// The slot whose file has this hash.
static bool find(const tody_link_app *app, const uint8_t *hash, uint32_t *index, tody_link_slot *slot) {
    for (*index = 0; app->slot(app->self, *index, slot); (*index)++) {
        if (holds_file(slot) && !memcmp(slot->sha, hash, SHA_BYTES)) return true;
    }
    return false;
}

// "Test" and "confirm". Without a hash it is about the model that runs. There is no reboot between test and run here.
static tody_rc set_state(tody_link *link, const tody_map *in, tody_cbor *out) {
    const tody_link_app *app = link->app;
    const uint8_t *hash;
    uint32_t bytes, index;
    tody_link_slot slot;
    bool confirm = false;
    if (tody_map_has(in, "confirm") && !tody_map_bool(in, "confirm", &confirm)) return TODY_RC_INVALID;
    const bool named = tody_map_bytes(in, "hash", &hash, &bytes);
    if (named ? bytes != SHA_BYTES : !confirm) return TODY_RC_INVALID;
    if (named && !find(app, hash, &index, &slot)) return TODY_RC_NO_ENTRY;
    tody_rc rc = named && !slot.running ? app->activate(app->self, index) : TODY_RC_OK;
    if (rc == TODY_RC_OK && confirm) rc = app->confirm(app->self);
    if (rc != TODY_RC_OK) return rc < TODY_RC_MODEL ? rc : TODY_RC_BAD_STATE;  // stock tools know no others
    return state(link, in, out);
}

static tody_rc begin(tody_link *link, const tody_map *in) {
    const tody_link_app *app = link->app;
    const uint8_t *sha;
    uint32_t sha_bytes, bytes, security;
    tody_link_info info = {0};
    app->info(app->self, &info);
    link->upload_bytes = link->upload_next = 0;
    if (!tody_map_bytes(in, "sha", &sha, &sha_bytes) || sha_bytes != SHA_BYTES) return TODY_RC_INVALID;
    if (!tody_map_u32(in, "len", &bytes) || !bytes || bytes > info.slot_bytes) return TODY_RC_INVALID;
    if (!tody_optional_u32(in, "sec", info.security_floor, &security)) return TODY_RC_INVALID;
    const tody_rc rc = app->begin(app->self, bytes, sha, security, &link->upload_next);
    if (rc == TODY_RC_OK) link->upload_bytes = bytes;
    return rc;
}

static tody_rc upload(tody_link *link, const tody_map *in, tody_cbor *out) {
    tody_piece piece = {0};
    uint32_t image;
    if (!tody_map_u32(in, "off", &piece.at)) return TODY_RC_INVALID;
    if (!tody_map_bytes(in, "data", &piece.data, &piece.bytes)) return TODY_RC_INVALID;
    if (!tody_optional_u32(in, "image", 0, &image) || image != 0) return TODY_RC_INVALID;
    if (piece.at == 0 && tody_map_has(in, "len")) {
        const tody_rc rc = begin(link, in);
        if (rc != TODY_RC_OK) return rc;
    }
    return tody_upload(link, &piece, out);
}

static tody_rc erase(tody_link *link, const tody_map *in, tody_cbor *out) {
    (void)out;
    const tody_link_app *app = link->app;
    tody_link_slot slot;
    uint32_t index = 0;
    link->upload_bytes = 0;
    while (app->slot(app->self, index, &slot) && slot.running) index++;
    if (!tody_optional_u32(in, "slot", index, &index)) return TODY_RC_INVALID;
    if (!app->slot(app->self, index, &slot)) return TODY_RC_NO_ENTRY;
    return slot.running ? TODY_RC_BAD_STATE : app->erase(app->self, index);
}

const tody_command tody_image_commands[] = {
    {GROUP, TODY_SMP_READ, STATE, state},
    {GROUP, TODY_SMP_WRITE, STATE, set_state},
    {GROUP, TODY_SMP_WRITE, UPLOAD, upload},
    {GROUP, TODY_SMP_WRITE, ERASE, erase},
    {0},
};
