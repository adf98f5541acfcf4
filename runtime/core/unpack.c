// unpack.c - decode a coded file while it arrives.
// SPDX-License-Identifier: Apache-2.0
//
// A machine of stages: each does what `in` and `out` allow and says whether the next may begin. What must come together (the
// header, a table, a word) is held until it has. Nothing that a file says is believed: counts are bounded by what is left of
// the plain file, tables are proved when they are read, and a row of symbols writes nothing but its own bytes.
#include <string.h>

#include "model.h"
#include "rans.h"

enum { ROW = TODY_BLOCK_ROW, LANES = 16, DEEP = 4, ROW_IN = 2 * ROW + 2 };  // ROW_IN: bytes that decode_row looks at, at most

enum { HEADER, PLAIN_HEADER, BLOCK, PANELS, TABLE, TABLE_BODY, STATES, ROWS, RAW, END };  // tody_unpack.stage

_Static_assert(sizeof(tody_header) == TODY_HEADER_BYTES, "header");
_Static_assert(TODY_RANS_MAX_TABLE <= sizeof(((tody_unpack *)0)->hold), "room for a table");

static bool fail(tody_unpack *u, tody_status status) {
    u->status = status;
    return false;
}

static bool enter(tody_unpack *u, uint32_t stage) {
    u->stage = stage;
    return true;
}

static uint32_t least(size_t a, uint32_t b) { return a < b ? (uint32_t)a : b; }

static void move_in(tody_unpack *u, uint32_t bytes) {
    u->in += bytes;
    u->in_bytes -= bytes;
    u->coded_left -= bytes;
}

// Gather bytes that must come together in `hold`. True once all are there; the next gathering starts afresh.
static bool gather(tody_unpack *u, uint32_t bytes) {
    if (bytes - u->held > u->coded_left - u->block_end) return fail(u, TODY_ERR_BLOCK);
    const uint32_t part = least(u->in_bytes, bytes - u->held);
    if (part == 0) return false;
    memcpy(u->hold + u->held, u->in, part);
    move_in(u, part);
    u->held += part;
    if (u->held < bytes) return false;
    u->held = 0;
    return true;
}

static uint32_t u32_at(const uint8_t *data) {
    uint32_t value;
    memcpy(&value, data, sizeof value);
    return value;
}

// Checksum of what of the next `bytes` plain bytes are weights.
static void prove(tody_unpack *u, uint32_t bytes) {
    const uint64_t end = (uint64_t)u->weights_at + u->weights_bytes, last = (uint64_t)u->made + bytes;
    const uint32_t from = u->made < u->weights_at ? u->weights_at : u->made;
    const uint64_t to = last < end ? last : end;
    if (from < to) u->crc = tody_crc32(u->crc, u->out + (from - u->made), (size_t)(to - from));
}

static void move_out(tody_unpack *u, uint32_t bytes) {
    prove(u, bytes);
    u->out += bytes;
    u->out_bytes -= bytes;
    u->made += bytes;
    u->plain_left -= bytes;
    u->block_left -= bytes;
}

static tody_status check_header(const tody_header *h) {
    if (memcmp(h->magic, TODY_MAGIC, 4) != 0) return TODY_ERR_MAGIC;
    if (h->major != TODY_FORMAT_MAJOR || h->minor > TODY_FORMAT_MINOR) return TODY_ERR_VERSION;
    const bool coded = h->flags == TODY_CODED;
    if (!coded && (h->flags != 0 || h->coded_bytes != 0)) return TODY_ERR_HEADER;
    if (h->header_bytes != sizeof *h || h->file_bytes < sizeof *h) return TODY_ERR_HEADER;
    if (h->weights_at < sizeof *h || (uint64_t)h->weights_at + h->weights_bytes > h->file_bytes) return TODY_ERR_HEADER;
    return coded && (h->coded_bytes < sizeof *h || h->minor == 0) ? TODY_ERR_HEADER : TODY_OK;
}

static bool at_header(tody_unpack *u) {
    if (!gather(u, TODY_HEADER_BYTES)) return false;
    tody_header h;
    memcpy(&h, u->hold, sizeof h);
    const tody_status status = check_header(&h);
    if (status) return fail(u, status);
    const bool coded = h.flags == TODY_CODED;
    u->coded_left = (coded ? h.coded_bytes : h.file_bytes) - TODY_HEADER_BYTES;
    u->plain_left = h.file_bytes;
    u->weights_at = h.weights_at;
    u->weights_bytes = h.weights_bytes;
    u->weights_crc = h.weights_crc;
    u->kind = coded;
    u->block_left = TODY_HEADER_BYTES;
    if (coded) h.minor--;
    h.flags = h.coded_bytes = 0;
    memcpy(u->hold, &h, sizeof h);
    return enter(u, PLAIN_HEADER);
}

static bool at_plain_header(tody_unpack *u) {
    const uint32_t part = least(u->out_bytes, u->block_left);
    if (part == 0) return false;
    memcpy(u->out, u->hold + (TODY_HEADER_BYTES - u->block_left), part);
    move_out(u, part);
    if (u->block_left) return false;
    if (u->kind) return enter(u, BLOCK);
    u->block_left = u->plain_left;  // a plain file: all the rest as it is, one raw block
    return enter(u, RAW);
}

static bool at_block(tody_unpack *u) {
    if (u->plain_left == 0) return enter(u, END);
    u->block_end = 0;
    if (!gather(u, 8)) return false;
    const uint32_t coded = u32_at(u->hold + 4), word = u32_at(u->hold), tables = word >> 24 & ~(uint32_t)TODY_BLOCK_PANELS;
    const bool coded_so = tables == TODY_BLOCK_BYTES || tables == TODY_BLOCK_PAIRS || tables == TODY_BLOCK_WORDS;
    const bool known = tables == TODY_BLOCK_RAW ? word >> 24 == 0 : coded_so;
    u->block_left = word & 0xffffffu;
    if (!known || u->block_left == 0 || u->block_left > u->plain_left || coded > u->coded_left) return fail(u, TODY_ERR_BLOCK);
    u->block_end = u->coded_left - coded;
    u->kind = tables;
    u->tables = u->row_at = u->hungry = 0;
    u->panels = (tody_unpack_panels){.rows = 1, .depth = 1, .panels = 1, .lanes = LANES, .deep = DEEP};
    if (tables == 0) return enter(u, RAW);
    return enter(u, word >> 24 == tables ? TABLE : PANELS);
}

static bool at_panels(tody_unpack *u) {
    tody_block_panels p;
    if (!gather(u, sizeof p)) return false;
    memcpy(&p, u->hold, sizeof p);
    const bool sound = p.rows && p.depth && p.panels && p.lanes - 1u < LANES && p.deep - 1u < DEEP && !p.reserved[0] &&
                       !p.reserved[1] && u->block_left % ROW == 0;
    if (!sound) return fail(u, TODY_ERR_BLOCK);
    u->panels = (tody_unpack_panels){p.rows, p.depth, p.panels, p.lanes, p.deep, 0, 0, 0};
    return enter(u, TABLE);
}

static bool at_table(tody_unpack *u) {
    if (u->tables == u->kind) return enter(u, STATES);
    if (!gather(u, 2)) return false;
    u->table_bytes = tody_rans_word(u->hold);
    return u->table_bytes <= TODY_RANS_MAX_TABLE ? enter(u, TABLE_BODY) : fail(u, TODY_ERR_BLOCK);
}

static bool at_table_body(tody_unpack *u) {
    if (u->table_bytes && !gather(u, u->table_bytes)) return false;
    if (!tody_rans_table(&u->table[u->tables], u->hold, u->table_bytes)) return fail(u, TODY_ERR_BLOCK);
    u->tables++;
    return enter(u, TABLE);
}

static bool at_states(tody_unpack *u) {
    if (!gather(u, sizeof u->states)) return false;
    memcpy(u->states, u->hold, sizeof u->states);
    for (uint32_t i = 0; i < DEEP; i++) {
        if (u->states[i] < TODY_RANS_LOW) return fail(u, TODY_ERR_BLOCK);
    }
    return enter(u, ROWS);
}

static uint32_t row_lanes(const tody_unpack_panels *p) { return p->panel == p->panels - 1 ? p->lanes : LANES; }

static uint32_t row_deep(const tody_unpack_panels *p) { return p->deep_row == p->depth - 1 ? p->deep : DEEP; }

static void next_row(tody_unpack_panels *p) {
    if (++p->deep_row == p->depth) p->deep_row = 0;
    if (++p->row < p->rows) return;
    p->row = p->deep_row = 0;
    if (++p->panel == p->panels) p->panel = 0;
}

static const tody_unpack_table *table_of(const tody_unpack *u, uint32_t deep) { return &u->table[deep & (u->kind - 1)]; }

// The upper byte of a pair, of which is stored what the lower one leaves as a signed number.
static uint8_t upper_of(uint8_t stored, uint8_t lower) { return (uint8_t)(stored - (lower >> 7)); }

// A symbol, where the words that it may want have arrived. They are taken in without a branch, which nothing could predict.
static inline uint8_t decode(const tody_unpack_table *table, uint32_t *state, const uint8_t **in) {
    const uint8_t symbol = tody_rans_symbol(table, state);
    const uint32_t low = *state < TODY_RANS_LOW;
    *state = *state << 16 * low | (tody_rans_word(*in) & (0u - low));
    *in += 2 * low;
    return symbol;
}

// A row whose bytes all have room and whose words have all arrived. Inlined with constants for full rows.
static inline void decode_row(tody_unpack *u, uint32_t lanes, uint32_t deep, uint32_t tables) {
    const tody_unpack_table *t = u->table;
    const uint32_t last = tables - 1;  // a mask
    uint32_t a = u->states[0], b = u->states[1], c = u->states[2], d = u->states[3];
    const uint8_t *in = u->in;
    uint8_t *out = u->out, *end = out + (size_t)DEEP * lanes;
    for (; out < end; out += DEEP) {
        out[0] = decode(t, &a, &in);
        if (deep > 1) out[1] = decode(t + (1 & last), &b, &in);
        if (deep > 2) out[2] = decode(t + (2 & last), &c, &in);
        if (deep > 3) out[3] = decode(t + (3 & last), &d, &in);
        if (tables != TODY_BLOCK_PAIRS) continue;
        if (deep > 1) out[1] = upper_of(out[1], out[0]);
        if (deep > 3) out[3] = upper_of(out[3], out[2]);
    }
    u->states[0] = a, u->states[1] = b, u->states[2] = c, u->states[3] = d;
    move_in(u, (uint32_t)(in - u->in));
}

static void whole_row(tody_unpack *u) {
    const uint32_t lanes = row_lanes(&u->panels), deep = row_deep(&u->panels);
    const bool full = lanes == LANES && deep == DEEP;
    if (full && u->kind == TODY_BLOCK_BYTES) {
        decode_row(u, LANES, DEEP, TODY_BLOCK_BYTES);
    } else if (full && u->kind == TODY_BLOCK_WORDS) {
        decode_row(u, LANES, DEEP, TODY_BLOCK_WORDS);
    } else {
        memset(u->out, 0, ROW);
        decode_row(u, lanes, deep, u->kind);
    }
    move_out(u, ROW);
    next_row(&u->panels);
}

static bool take_word(tody_unpack *u) {
    if (!gather(u, 2)) return false;
    uint32_t *state = &u->states[u->hungry - 1];
    *state = *state << 16 | tody_rans_word(u->hold);
    u->hungry = 0;
    return true;
}

// One byte of a row, where there is not enough of `in` or `out` for all of it.
static bool next_byte(tody_unpack *u) {
    if (u->hungry) return take_word(u);
    if (u->out_bytes == 0) return false;
    const uint32_t lane = u->row_at / DEEP, d = u->row_at % DEEP;
    const bool coded = lane < row_lanes(&u->panels) && d < row_deep(&u->panels);
    *u->out = coded ? tody_rans_symbol(table_of(u, d), &u->states[d]) : 0;
    if (coded && u->kind == TODY_BLOCK_PAIRS && d % 2) *u->out = upper_of(*u->out, u->lower);
    u->lower = *u->out;
    if (u->states[d] < TODY_RANS_LOW) u->hungry = d + 1;
    move_out(u, 1);
    if (++u->row_at == ROW) {
        u->row_at = 0;
        next_row(&u->panels);
    }
    return true;
}

static bool row_fits(const tody_unpack *u) {
    return u->row_at == 0 && !u->hungry && u->block_left >= ROW && u->out_bytes >= ROW && u->in_bytes >= ROW_IN &&
           u->coded_left - u->block_end >= ROW_IN;
}

// The encoder began with states of TODY_RANS_LOW, so that a decoder ends there: most damage is found here.
static bool at_rows(tody_unpack *u) {
    while (u->block_left || u->hungry) {
        if (row_fits(u))
            whole_row(u);
        else if (!next_byte(u))
            return false;
    }
    for (uint32_t i = 0; i < DEEP; i++) {
        if (u->states[i] != TODY_RANS_LOW) return fail(u, TODY_ERR_BLOCK);
    }
    return u->coded_left == u->block_end ? enter(u, BLOCK) : fail(u, TODY_ERR_BLOCK);
}

static bool at_raw(tody_unpack *u) {
    if (u->block_left != u->coded_left - u->block_end) return fail(u, TODY_ERR_BLOCK);
    const uint32_t part = least(u->in_bytes, least(u->out_bytes, u->block_left));
    if (part) {
        memcpy(u->out, u->in, part);
        move_in(u, part);
        move_out(u, part);
    }
    return u->block_left == 0 && enter(u, BLOCK);
}

static bool at_end(tody_unpack *u) {
    if (u->coded_left) return fail(u, TODY_ERR_HEADER);
    if (u->crc != u->weights_crc) return fail(u, TODY_ERR_CHECKSUM);
    u->done = true;
    return false;
}

void tody_unpack_begin(tody_unpack *u) { *u = (tody_unpack){.stage = HEADER, .coded_left = TODY_HEADER_BYTES}; }

tody_status tody_unpack_run(tody_unpack *u) {
    static bool (*const stages[])(tody_unpack *) = {
        [HEADER] = at_header, [PLAIN_HEADER] = at_plain_header,
        [BLOCK] = at_block,   [PANELS] = at_panels,
        [TABLE] = at_table,   [TABLE_BODY] = at_table_body,
        [STATES] = at_states, [ROWS] = at_rows,
        [RAW] = at_raw,       [END] = at_end,
    };
    while (!u->status && !u->done && stages[u->stage](u)) continue;
    return u->status;
}

tody_status tody_plain_bytes(const void *header, size_t header_bytes, size_t *plain_bytes) {
    tody_header h;
    if (header_bytes < sizeof h) return TODY_ERR_TRUNCATED;
    memcpy(&h, header, sizeof h);
    const tody_status status = check_header(&h);
    *plain_bytes = status ? 0 : h.file_bytes;
    return status;
}

tody_status tody_unpack_file(tody_unpack *u, const void *file, size_t file_bytes, void *plain, size_t plain_bytes) {
    tody_unpack_begin(u);
    u->in = file;
    u->in_bytes = file_bytes;
    u->out = plain;
    u->out_bytes = plain_bytes;
    const tody_status status = tody_unpack_run(u);
    if (status || u->done) return status;
    return u->out_bytes ? TODY_ERR_TRUNCATED : TODY_ERR_MEMORY;
}
