// unpack.c - damaged coded files, decoded whole and in pieces, in buffers without a byte to spare.
// SPDX-License-Identifier: Apache-2.0
//
//     unpack COUNT FIRST SEED.coded..   mutations FIRST .. FIRST + COUNT - 1, each fully determined by its number
//
// However a file arrives, the status, and the plain bytes before it, must be the same. Built with the sanitizers. On a finding
// the mutated file is in ./finding.coded. Prints how many files were refused, by status.
#include <sanitizer/common_interface_defs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/format.h"
#include "tody.h"

enum { MAX_SEED = 1 << 20, MAX_PLAIN = 1 << 22, STATUSES = 20 };

typedef struct file {
    uint8_t *data;
    size_t bytes;
} file;

typedef struct outcome {
    tody_status status;
    size_t made;
    uint8_t *plain;
} outcome;

static struct {
    uint64_t number;
    file file;
} current;

static uint64_t state;

static uint32_t below(size_t limit) {  // splitmix64
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return limit ? (uint32_t)((z >> 32) % limit) : 0;
}

static void tell_finding(void) {
    FILE *out = fopen("finding.coded", "wb");
    if (out) fwrite(current.file.data, 1, current.file.bytes, out);
    if (out) fclose(out);
    fprintf(stderr, "mutation %llu, kept in finding.coded\n", (unsigned long long)current.number);
}

static file read_file(const char *path) {
    FILE *in = fopen(path, "rb");
    file f = {malloc(MAX_SEED), 0};
    if (in && f.data) f.bytes = fread(f.data, 1, MAX_SEED, in);
    if (!in || f.bytes < sizeof(tody_header)) exit(2);
    fclose(in);
    return f;
}

// Where damage does most: the header, the beginning of a block with its tables, anywhere.
static size_t pick(const file *f) {
    uint32_t size[2];
    size_t at = sizeof(tody_header);
    if (below(8) == 0) return below(at);
    if (below(3) == 0) return below(f->bytes);
    for (uint32_t skip = below(6); skip > 0 && at + sizeof size < f->bytes; skip--) {
        memcpy(size, f->data + at, sizeof size);
        at += sizeof size + size[1];
    }
    return at < f->bytes ? at + below(f->bytes - at < 300 ? f->bytes - at : 300) : below(f->bytes);
}

static void damage(file *f) {
    const size_t at = pick(f);
    static const uint32_t words[] = {0, 1, 63, 64, 255, 256, 4095, 4096, 65535, 65536, 0xffffff, 0x7fffffff, 0xffffffff};
    const uint32_t word = words[below(sizeof words / sizeof *words)];
    switch (below(6)) {
        case 0: f->data[at] ^= (uint8_t)(1u << below(8)); break;
        case 1: f->data[at] = (uint8_t)below(256); break;
        case 2: f->data[at] = (uint8_t)(f->data[at] + 1); break;
        case 3:
            if (at + 4 <= f->bytes) memcpy(f->data + at, &word, 4);
            break;
        case 4:
            if (at + 2 <= f->bytes) memcpy(f->data + at, &word, 2);
            break;
        default:
            if (below(8) == 0) f->bytes -= below(f->bytes - sizeof(tody_header));
    }
}

static size_t some(size_t left) {
    const size_t most = below(4) ? 40 : 1000, size = below(most);
    return size < left ? size : left;
}

// In pieces, each of them copied to memory of just that size.
static outcome unpack_in_pieces(const file *f, size_t plain_bytes) {
    outcome o = {.plain = malloc(plain_bytes)};
    tody_unpack *u = malloc(sizeof *u);
    if (!o.plain || !u) abort();
    tody_unpack_begin(u);
    size_t given = 0;
    while (!o.status && !u->done) {
        const size_t in_bytes = some(f->bytes - given), out_bytes = some(plain_bytes - o.made);
        uint8_t *in = malloc(in_bytes), *out = malloc(out_bytes);
        if (in_bytes) memcpy(in, f->data + given, in_bytes);
        u->in = in, u->in_bytes = in_bytes, u->out = out, u->out_bytes = out_bytes;
        o.status = tody_unpack_run(u);
        if (out_bytes) memcpy(o.plain + o.made, out, out_bytes - u->out_bytes);
        o.made += out_bytes - u->out_bytes;
        given += in_bytes - u->in_bytes;
        if (!o.status && !u->done && given == f->bytes && u->out_bytes) o.status = TODY_ERR_TRUNCATED;
        free(in);
        free(out);
    }
    free(u);
    return o;
}

static outcome unpack_whole(const file *f, size_t plain_bytes) {
    outcome o = {.plain = malloc(plain_bytes)};
    tody_unpack *u = malloc(sizeof *u);
    if (!o.plain || !u) abort();
    o.status = tody_unpack_file(u, f->data, f->bytes, o.plain, plain_bytes);
    o.made = (size_t)(u->out - o.plain);
    free(u);
    return o;
}

static void try_file(const file *f, uint64_t *by_status) {
    size_t plain_bytes = 0;
    tody_status status = tody_plain_bytes(f->data, f->bytes, &plain_bytes);
    if (!status && plain_bytes <= MAX_PLAIN) {
        outcome whole = unpack_whole(f, plain_bytes), pieces = unpack_in_pieces(f, plain_bytes);
        status = whole.status;
        if (pieces.status != status || pieces.made != whole.made || memcmp(pieces.plain, whole.plain, whole.made) != 0) {
            fprintf(stderr, "whole: %s after %zu bytes; in pieces: %s after %zu\n", tody_status_text(status), whole.made,
                    tody_status_text(pieces.status), pieces.made);
            tell_finding();
            abort();
        }
        free(whole.plain);
        free(pieces.plain);
    }
    by_status[-status]++;
}

static void mutation(const file *seed, uint64_t *by_status) {
    file f = {malloc(seed->bytes), seed->bytes};
    if (!f.data) abort();
    memcpy(f.data, seed->data, f.bytes);
    for (uint32_t i = below(4); i > 0; i--) damage(&f);
    f.data = realloc(f.data, f.bytes);  // so that the byte after the last is out of bounds
    current.file = f;
    if (below(4)) {
        const uint32_t bytes = (uint32_t)f.bytes;
        memcpy(f.data + offsetof(tody_header, coded_bytes), &bytes, 4);
    }
    try_file(&f, by_status);
    free(f.data);
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    const uint64_t count = strtoull(argv[1], NULL, 10), first = strtoull(argv[2], NULL, 10);
    uint64_t by_status[STATUSES] = {0};
    __sanitizer_set_death_callback(tell_finding);
    const size_t seed_count = (size_t)argc - 3;
    file *seeds = malloc(seed_count * sizeof *seeds);
    if (!seeds) return 2;
    for (size_t i = 0; i < seed_count; i++) seeds[i] = read_file(argv[3 + i]);
    for (uint64_t i = 0; i < count; i++) {
        state = (current.number = first + i) * 0xd1342543de82ef95;
        mutation(&seeds[below(seed_count)], by_status);
    }
    printf("%llu coded files: %llu decoded", (unsigned long long)count, (unsigned long long)by_status[0]);
    for (int i = 1; i < STATUSES; i++) {
        if (by_status[i]) printf("\n%9llu  %s", (unsigned long long)by_status[i], tody_status_text((tody_status)-i));
    }
    printf("\n");
    for (size_t i = 0; i < seed_count; i++) free(seeds[i].data);
    free(seeds);
    return 0;
}
