// group_os.c - SMP group 0: echo, reset, and how large a packet may be.
// SPDX-License-Identifier: Apache-2.0
#include "smp.h"

enum { GROUP = 0, ECHO = 0, RESET = 5, PARAMS = 6 };

static tody_rc echo(tody_link *link, const tody_map *in, tody_cbor *out) {
    (void)link;
    const uint8_t *text;
    uint32_t bytes;
    if (!tody_map_text(in, "d", &text, &bytes)) return TODY_RC_INVALID;
    tody_put_map(out, 1);
    tody_put_text(out, "r");
    tody_put_string(out, text, bytes);
    return TODY_RC_OK;
}

static tody_rc reset(tody_link *link, const tody_map *in, tody_cbor *out) {
    (void)in, (void)out;
    link->reset = true;
    return TODY_RC_OK;
}

static tody_rc params(tody_link *link, const tody_map *in, tody_cbor *out) {
    (void)link, (void)in;
    tody_put_map(out, 2);
    tody_put_key_uint(out, "buf_size", TODY_LINK_BUFFER);
    tody_put_key_uint(out, "buf_count", 1);
    return TODY_RC_OK;
}

const tody_command tody_os_commands[] = {
    {GROUP, TODY_SMP_WRITE, ECHO, echo},
    {GROUP, TODY_SMP_READ, ECHO, echo},
    {GROUP, TODY_SMP_WRITE, RESET, reset},
    {GROUP, TODY_SMP_READ, PARAMS, params},
    {0},
};
