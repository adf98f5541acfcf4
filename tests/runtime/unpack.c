// unpack.c - decode a coded file as it may arrive: unpack FILE PLAIN SEED
// SPDX-License-Identifier: Apache-2.0
//
// Bytes come and room is given in pieces of 0 to 300 by chance, or, where SEED is 0, all at once. Tells sizeof(tody_unpack).
#include <stdio.h>
#include <stdlib.h>

#include "tody.h"

enum { MOST = 300 };

static uint32_t state;

static size_t some(size_t left) {
    state = state * 1664525u + 1013904223u;
    const size_t size = (state >> 16) % (MOST + 1);
    return size < left ? size : left;
}

static int fail(const char *what, const char *why) {
    fprintf(stderr, "unpack: %s: %s\n", what, why);
    return 1;
}

static uint8_t *read_file(const char *path, size_t *bytes) {
    FILE *in = fopen(path, "rb");
    if (!in || fseek(in, 0, SEEK_END)) return NULL;
    *bytes = (size_t)ftell(in);
    rewind(in);
    uint8_t *data = malloc(*bytes);
    if (data && fread(data, 1, *bytes, in) != *bytes) return NULL;
    fclose(in);
    return data;
}

static tody_status unpack_in_pieces(const uint8_t *data, size_t bytes, uint8_t *plain, size_t plain_bytes) {
    static tody_unpack unpack;
    tody_unpack_begin(&unpack);
    unpack.in = data;
    unpack.out = plain;
    while (!unpack.done) {
        const size_t given = (size_t)(unpack.in - data), made = (size_t)(unpack.out - plain);
        unpack.in_bytes = some(bytes - given);
        unpack.out_bytes = some(plain_bytes - made);
        const tody_status status = tody_unpack_run(&unpack);
        if (status) return status;
        if (given == bytes && unpack.out_bytes && !unpack.done) return TODY_ERR_TRUNCATED;
    }
    return TODY_OK;
}

int main(int count, char **arguments) {
    if (count != 4) return fail("usage", "unpack FILE PLAIN SEED");
    static tody_unpack work;
    size_t bytes = 0, plain_bytes = 0;
    uint8_t *data = read_file(arguments[1], &bytes);
    if (!data) return fail(arguments[1], "cannot be read");
    tody_status status = tody_plain_bytes(data, bytes, &plain_bytes);
    if (status) return fail(arguments[1], tody_status_text(status));
    uint8_t *plain = malloc(plain_bytes);
    if (!plain) return fail("memory", "not enough");
    state = (uint32_t)strtoul(arguments[3], NULL, 10);
    status =
        state ? unpack_in_pieces(data, bytes, plain, plain_bytes) : tody_unpack_file(&work, data, bytes, plain, plain_bytes);
    if (status) return fail(arguments[1], tody_status_text(status));
    FILE *out = fopen(arguments[2], "wb");
    if (!out || fwrite(plain, 1, plain_bytes, out) != plain_bytes || fclose(out))
        return fail(arguments[2], "cannot be written");
    printf("%zu\n", sizeof(tody_unpack));
    free(data);
    free(plain);
    return 0;
}
