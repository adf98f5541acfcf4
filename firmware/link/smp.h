// smp.h - what the files of the link share: packets, commands and the tables of commands.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_SMP_H
#define TODY_SMP_H

#include "cbor.h"
#include "link.h"

#define TODY_SMP_HEADER 8u
#define TODY_SMP_PREFIX 2u    // length of message and CRC, before a message
#define TODY_SMP_OVERHEAD 4u  // the prefix and the CRC
#define TODY_GROUP_TODY 65u

enum { TODY_SMP_READ = 0, TODY_SMP_WRITE = 2 };  // op; its answer is one more

// Answer a command. The answer is written over the request: what is read of `in` must be read before the first byte of `out`.
typedef tody_rc (*tody_handler)(tody_link *link, const tody_map *in, tody_cbor *out);

typedef struct tody_command {
    uint16_t group;
    uint8_t op, id;
    tody_handler run;  // NULL ends a table
} tody_command;

extern const tody_command tody_os_commands[], tody_image_commands[], tody_slot_commands[], tody_model_commands[];

// Answer the message in link->buffer, of so many bytes behind the prefix, in the same place. Returns the answer's bytes; 0:
// none.
uint32_t tody_smp_answer(tody_link *link, uint32_t bytes);

// Send the message in link->buffer as a packet.
void tody_frame_send(tody_link *link, uint32_t bytes);

// The upload goes on with bytes at `at`, of `data` or, where that is NULL, of a slot from `from` on. Bytes for another place
// than the next one change nothing. The answer says which place that is, and `match` once the file is whole.
typedef struct tody_piece {
    uint32_t at, bytes;
    const uint8_t *data;
    uint32_t slot, from;
} tody_piece;
tody_rc tody_upload(tody_link *link, const tody_piece *piece, tody_cbor *out);

// An argument of a request, or `otherwise`; false: it is there, but not an unsigned number of 32 bits.
bool tody_optional_u32(const tody_map *in, const char *key, uint32_t otherwise, uint32_t *value);

#endif
