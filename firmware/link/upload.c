// upload.c - how an upload goes on, with bytes from the wire or from another slot.
// SPDX-License-Identifier: Apache-2.0
#include "smp.h"

enum { COPY_BYTES = 64 };  // at a time

static tody_rc copy(const tody_link_app *app, const tody_piece *p) {
    uint8_t some[COPY_BYTES];
    for (uint32_t done = 0; done < p->bytes;) {
        const uint32_t left = p->bytes - done, count = left < COPY_BYTES ? left : COPY_BYTES;
        if (!app->read(app->self, p->slot, p->from + done, some, count)) return TODY_RC_INVALID;
        const tody_rc rc = app->write(app->self, p->at + done, some, count);
        if (rc != TODY_RC_OK) return rc;
        done += count;
    }
    return TODY_RC_OK;
}

// The bytes are wanted: into the slot, and the end if they are the last.
static tody_rc go_on(tody_link *link, const tody_piece *p) {
    const tody_link_app *app = link->app;
    tody_rc rc = p->data ? app->write(app->self, p->at, p->data, p->bytes) : copy(app, p);
    if (rc == TODY_RC_OK) link->upload_next += p->bytes;
    if (rc == TODY_RC_OK && link->upload_next == link->upload_bytes) rc = app->finish(app->self);
    if (rc != TODY_RC_OK) link->upload_bytes = 0;  // what the flash holds now is for the store to say, in the next `begin`
    return rc;
}

tody_rc tody_upload(tody_link *link, const tody_piece *p, tody_cbor *out) {
    if (!link->upload_bytes) return TODY_RC_BAD_STATE;
    if (p->at == link->upload_next && p->bytes) {
        if (p->bytes > link->upload_bytes - link->upload_next) return TODY_RC_INVALID;
        const tody_rc rc = go_on(link, p);
        if (rc != TODY_RC_OK) return rc;
    }
    const bool whole = link->upload_next == link->upload_bytes;
    tody_put_map(out, whole ? 2 : 1);
    tody_put_key_uint(out, "off", link->upload_next);
    if (whole) tody_put_key_bool(out, "match", true);
    return TODY_RC_OK;
}
