// smp.c - a message of SMP (mcumgr's protocol, version 2) and its answer.
// SPDX-License-Identifier: Apache-2.0
#include "smp.h"

static const tody_command *const tables[] = {tody_os_commands, tody_image_commands, tody_slot_commands, tody_model_commands};

static const tody_command *find(uint32_t group, uint32_t op, uint32_t id) {
    for (uint32_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        for (const tody_command *c = tables[t]; c->run; c++) {
            if (c->group == group && c->op == op && c->id == id) return c;
        }
    }
    return NULL;
}

static tody_rc run(tody_link *link, const uint8_t *message, uint32_t bytes, tody_cbor *out) {
    const uint32_t body = (uint32_t)message[2] << 8 | message[3], group = (uint32_t)message[4] << 8 | message[5];
    const tody_command *command = find(group, message[0] & 7u, message[7]);
    tody_map in;
    if (body + TODY_SMP_HEADER != bytes) return TODY_RC_INVALID;
    if (!command) return TODY_RC_UNSUPPORTED;
    if (!tody_map_open(&in, message + TODY_SMP_HEADER, body)) return TODY_RC_INVALID;
    const tody_rc rc = command->run(link, &in, out);
    return rc == TODY_RC_OK && out->full ? TODY_RC_TOO_LARGE : rc;
}

uint32_t tody_smp_answer(tody_link *link, uint32_t bytes) {
    uint8_t *message = link->buffer + TODY_SMP_PREFIX, *body = message + TODY_SMP_HEADER;
    const uint8_t *end = link->buffer + TODY_LINK_BUFFER - (TODY_SMP_OVERHEAD - TODY_SMP_PREFIX);
    if (message[0] & 5u) return 0;  // an answer of somebody else, or an operation that does not exist
    tody_cbor out = {.at = body, .end = end};
    const tody_rc rc = run(link, message, bytes, &out);
    if (rc != TODY_RC_OK) {
        out = (tody_cbor){.at = body, .end = end};
        tody_put_map(&out, 1);
        tody_put_key_uint(&out, "rc", (uint32_t)rc);
    } else if (out.at == body) {
        tody_put_map(&out, 0);
    }
    const uint32_t length = (uint32_t)(out.at - body);
    message[0] = (uint8_t)(message[0] + 1);
    message[2] = (uint8_t)(length >> 8);
    message[3] = (uint8_t)length;
    return TODY_SMP_HEADER + length;
}

bool tody_optional_u32(const tody_map *in, const char *key, uint32_t otherwise, uint32_t *value) {
    *value = otherwise;
    return !tody_map_has(in, key) || tody_map_u32(in, key, value);
}
