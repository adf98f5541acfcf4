// link.h - the device's end of the wire: an SMP server (mcumgr's protocol) on a stream of bytes.
// SPDX-License-Identifier: Apache-2.0
//
// Knows the runtime; knows the store and the board only through tody_link_app. docs/flash.md lists the messages.
//
//     static tody_link link;
//     tody_link_begin(&link, &app);
//     for (;;) tody_link_feed(&link, bytes, uart_read(bytes, sizeof bytes));   // answers by app.send from within
#ifndef TODY_LINK_H
#define TODY_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/op.h"
#include "tody.h"

// Bytes of a packet: length (2), message, CRC-16 (2). The largest that is taken or sent, and most of the link's RAM: 15 whole
// lines, of whose bytes on the wire an upload makes 70 % those of the file.
#define TODY_LINK_BUFFER 1395u

// What a command came to: SMP's own numbers. TODY_RC_MODEL - status (256 and up) says why a model could not be opened or bound.
typedef enum tody_rc {
    TODY_RC_OK = 0,
    TODY_RC_UNKNOWN = 1,
    TODY_RC_MEMORY = 2,
    TODY_RC_INVALID = 3,    // an argument is missing or out of range; a file larger than a slot
    TODY_RC_NO_ENTRY = 5,   // no such slot, no such image, no model runs
    TODY_RC_BAD_STATE = 6,  // not now: no upload in progress, the slot is in use, the file is older than the floor
    TODY_RC_TOO_LARGE = 7,
    TODY_RC_UNSUPPORTED = 8,
    TODY_RC_CORRUPT = 9,  // the bytes in the slot do not have the SHA-256 that was announced
    TODY_RC_BUSY = 10,
    TODY_RC_MODEL = 256,
} tody_rc;

typedef struct tody_link_info {
    const char *board, *cpu;    // "mps2-an386", "cortex-m4"
    const char *kernels;        // name of the kernel set
    uint32_t slot_bytes;        // the largest file
    uint32_t arena_bytes;       // RAM for arena and scratch together
    uint32_t uptime_ms, boots;  // since the start; starts that a model on trial has left
    uint32_t security_floor;    // a file of a lower number is refused
    bool safe;                  // started without a model because of the last boots
} tody_link_info;

typedef struct tody_link_slot {
    const char *state;         // "empty", "loading", "broken", "ready", "trial" or "confirmed"
    bool running;              // the model that runs lies here
    uint32_t bytes, security;  // of its file
    uint8_t sha[32];           // of its file; zeros: none
} tody_link_slot;

// What the link asks of the app. Every command may come twice, because its answer was lost: the second time it must do no harm
// and succeed.
typedef struct tody_link_app {
    void *self;  // handed to each function

    // Send all of the bytes; may wait until the line has taken them.
    void (*send)(void *self, const uint8_t *data, uint32_t bytes);
    uint32_t (*time_us)(void *self);  // wraps
    void (*info)(void *self, tody_link_info *info);
    void (*reset)(void *self);  // after the answer was sent; need not return

    // Slots. False: there is no such slot, or the bytes are not inside of it.
    bool (*slot)(void *self, uint32_t slot, tody_link_slot *out);
    bool (*read)(void *self, uint32_t slot, uint32_t at, void *to, uint32_t bytes);

    // An upload goes into the slot that does not run. `begin` erases it, unless an upload with this SHA-256 was cut off there:
    // then *next is where to go on. A file that already lies in a slot, sound: *next = bytes, and nothing is written.
    tody_rc (*begin)(void *self, uint32_t bytes, const uint8_t sha[32], uint32_t security, uint32_t *next);
    // Bytes of any number at any place; the link asks for the place that follows the last bytes only. What does not fill the
    // flash's unit yet is kept by the store.
    tody_rc (*write)(void *self, uint32_t at, const uint8_t *data, uint32_t bytes);
    tody_rc (*finish)(void *self);  // all bytes were written: compare the SHA-256 of the slot, which becomes "ready"
    tody_rc (*erase)(void *self, uint32_t slot);  // one that does not run

    // The model of a slot becomes the one that runs, on trial: opened and bound before this returns, or an error, with the
    // model that ran before running on.
    tody_rc (*activate)(void *self, uint32_t slot);
    tody_rc (*confirm)(void *self);  // the one that runs stays
    tody_rc (*back)(void *self);     // the one before runs again

    const tody_op *const *ops;         // operators of this build, NULL-terminated
    tody_model *(*model)(void *self);  // bound and ready to run; NULL: none
} tody_link_app;

// Private but visible, so that the caller can place it.
typedef struct tody_link {
    const tody_link_app *app;
    uint32_t upload_bytes, upload_next;  // 0: no upload since the start
    uint32_t have;                       // bytes in `buffer`
    uint32_t bits;                       // base64 digits that make no whole byte yet
    uint8_t digits;                      // how many
    uint8_t place;                       // where in a line the receiver is: frame.c
    bool reset;                          // once the answer is out
    uint8_t buffer[TODY_LINK_BUFFER];    // the packet that comes; then, from the same place, the one that goes
} tody_link;

void tody_link_begin(tody_link *link, const tody_link_app *app);

// Take what the line brought, in pieces of any size; answer each whole message. Bytes outside of packets are skipped.
void tody_link_feed(tody_link *link, const uint8_t *data, uint32_t bytes);

#endif
