// mutate.c - damage sound .tody files at random; whatever tody_open still accepts must run without a finding of the sanitizers.
// SPDX-License-Identifier: Apache-2.0
//
//     mutate COUNT FIRST SEED.tody..   mutations FIRST .. FIRST + COUNT - 1, each fully determined by its number
//
// On a finding it writes the mutated file to ./finding.tody and tells the number. Prints how many files were refused, by
// status.
#include <sanitizer/common_interface_defs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/kernels.h"
#include "core/model.h"
#include "posix.h"
#include "watch.h"

enum {
    MAX_ARENA = 16 << 20,
    MAX_SCRATCH = 64 << 20,
    MAX_COST = 300000,  // inner-loop steps
    MAX_SECONDS = 20,   // for one file; the slowest sound one takes milliseconds
    EXTRA = 256,        // bytes by which a file may grow
    THREADS = 3,        // make-believe ones
    STATUSES = 16,
};

typedef struct file {
    uint8_t *data;
    size_t bytes;
} file;

typedef struct tally {
    uint64_t by_status[STATUSES], run, skipped;
} tally;

// What a death callback can tell, since it takes no argument.
static struct {
    uint64_t number;
    const char *seed;
    file file;
    size_t capacity;  // of the file's memory
} current;

static uint64_t random_state;

static uint32_t random_u32(void) {  // splitmix64
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

static uint32_t below(size_t limit) { return limit ? random_u32() % (uint32_t)limit : 0; }

static void tell_finding(void) {
    FILE *out = fopen("finding.tody", "wb");
    if (out) fwrite(current.file.data, 1, current.file.bytes, out);
    if (out) fclose(out);
    fprintf(stderr, "mutation %llu of %s, kept in finding.tody\n", (unsigned long long)current.number, current.seed);
}

static file read_file(const char *path) {
    FILE *in = fopen(path, "rb");
    file f = {malloc(1 << 20), 0};
    if (in && f.data) f.bytes = fread(f.data, 1, 1 << 20, in);
    if (!in || f.bytes < sizeof(tody_header)) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    fclose(in);
    return f;
}

static uint32_t get(const file *f, size_t at) {
    uint32_t value;
    memcpy(&value, f->data + at, 4);
    return value;
}

static void put(file *f, size_t at, uint32_t value) { memcpy(f->data + at, &value, 4); }

static const uint32_t interesting[] = {
    0,          1,          2,          3,          4,          5,          6,          7,          8,          15,
    16,         17,         31,         32,         63,         64,         65,         127,        128,        255,
    256,        1023,       1024,       1025,       4096,       65535,      65536,      0x00ffffff, 0x3fffffff, 0x40000000,
    0x7fffffff, 0x80000000, 0x80000001, 0xfffffff0, 0xfffffffe, 0xffffffff, 0x7f800000, 0xff800000, 0x7fc00000, 0x00000001,
};

static uint32_t new_value(const file *f, uint32_t old) {
    switch (below(8)) {
        case 0: return old + 1;
        case 1: return old - 1;
        case 2: return old * 2;
        case 3: return old ^ 1u << below(32);
        case 4: return get(f, 4 * below(f->bytes / 4));
        case 5: return random_u32();
        default: return interesting[below(sizeof interesting / sizeof *interesting)];
    }
}

// Bounds of a section of the (possibly damaged) file; the operators come up most often, because most code reads them.
static void pick_section(const file *f, size_t *begin, size_t *end) {
    tody_header h;
    memcpy(&h, f->data, sizeof h);
    const size_t bounds[] = {0, sizeof h, h.ops_at, h.io_at, h.weights_at, f->bytes};
    static const uint8_t chance[] = {0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 4, 4};
    uint32_t section = chance[below(sizeof chance)];
    *begin = bounds[section];
    *end = bounds[section + 1];
    if (*end > f->bytes || *end < *begin + 4) *begin = 0, *end = f->bytes;
}

static void swap_words(file *f, size_t at, size_t other) {
    const uint32_t value = get(f, at);
    put(f, at, get(f, other));
    put(f, other, value);
}

static void copy_record(file *f, size_t at, size_t from) {
    const size_t bytes = 4 + 4 * below(16);
    if (at + bytes <= f->bytes && from + bytes <= f->bytes) memmove(f->data + at, f->data + from, bytes);
}

static uint32_t exact_bytes(const tody_tensor_record *t) {
    uint32_t s[6] = {t->shape[0], t->shape[1], 1, 1, 1, 1}, count = 1;
    for (uint32_t d = 2; d < t->rank; d++) s[d] = t->shape[d];
    if (t->pack == TODY_PANELS) s[1] = (s[1] + TODY_PANEL - 1) / TODY_PANEL * TODY_PANEL;
    for (uint32_t d = 0; d < t->rank; d++) count *= s[d];
    return count * (uint32_t)tody_dtype_bytes((tody_dtype)t->dtype);
}

// Another shape or dtype, of the right size and in an arena that is large enough: a sound record that does not suit its
// operator.
static void retype(file *f, const tody_header *h) {
    const size_t at = h->tensors_at + sizeof(tody_tensor_record) * below(h->tensor_count);
    if (at % 4 || at + sizeof(tody_tensor_record) > f->bytes) return;
    tody_tensor_record t;
    memcpy(&t, f->data + at, sizeof t);
    t.rank = (uint8_t)(t.rank % 7);
    if (below(8) == 0) t.dtype = (uint8_t)(1 + below(7));
    if (below(8) == 0 && t.rank < 6)
        t.shape[t.rank++] = 1 + below(3);
    else if (below(8) == 0 && t.rank > 0)
        t.shape[--t.rank] = 0;
    else if (t.rank)
        t.shape[below(t.rank)] = 1 + below(below(4) ? 8 : 300);
    t.bytes = exact_bytes(&t);
    memcpy(f->data + at, &t, sizeof t);
    put(f, offsetof(tody_header, arena_bytes), h->arena_bytes + t.bytes);
}

static void mutate_once(file *f) {
    tody_header h;
    memcpy(&h, f->data, sizeof h);
    size_t begin, end;
    pick_section(f, &begin, &end);
    const size_t word = begin / 4 * 4, words = (end - begin) / 4, at = word + 4 * below(words);
    switch (below(16)) {
        case 0: f->data[begin + below(end - begin)] ^= (uint8_t)(1u << below(8)); break;
        case 1: f->data[begin + below(end - begin)] = (uint8_t)random_u32(); break;
        case 2: swap_words(f, at, word + 4 * below(words)); break;
        case 3: copy_record(f, at, word + 4 * below(words)); break;
        case 4:
            if (below(8) == 0) f->bytes = sizeof h + below(f->bytes - sizeof h);
            break;
        case 5:
            if (f->bytes % 4 || f->bytes + 4 > current.capacity) break;
            put(f, f->bytes, random_u32());
            f->bytes += 4;
            break;
        case 6:
        case 7:
        case 8:
        case 9: retype(f, &h); break;
        case 10: put(f, at, below(h.tensor_count)); break;  // in an operator: another tensor
        default: put(f, at, new_value(f, get(f, at)));
    }
}

// So that damage reaches the checks behind the checksum. Some files keep a wrong one.
static void repair(file *f) {
    if (below(32) == 0) return;
    tody_header h;
    memcpy(&h, f->data, sizeof h);
    if (below(4)) h.file_bytes = (uint32_t)f->bytes;
    memcpy(f->data, &h, sizeof h);
    if (h.weights_at < sizeof h || h.weights_at > f->bytes) return;
    put(f, offsetof(tody_header, structure_crc), 0);
    put(f, offsetof(tody_header, structure_crc), tody_crc32(0, f->data, h.weights_at));
}

// Runs tasks in the wrong order and pretends that they are in several threads.
static void run_backwards(void *pool, uint32_t tasks, tody_task task, void *context) {
    (void)pool;
    for (uint32_t i = tasks; i-- > 0;) task(context, i, i % THREADS);
}

static void fill_inputs(const tody_model *model) {
    for (uint32_t i = 0; i < model->input_count; i++) {
        const tody_tensor t = tody_input(model, i);
        uint8_t *data = t.data;
        const bool wild = below(4) == 0;  // else floats of usual size
        for (size_t j = 0; j < t.count * tody_dtype_bytes(t.dtype); j++) data[j] = (uint8_t)random_u32();
        if (t.dtype != TODY_F32 || wild) continue;
        for (uint32_t j = 0; j < t.count; j++) ((float *)t.data)[j] = (float)(int32_t)random_u32() / (float)(1 << 29);
    }
}

static void *aligned(size_t bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, TODY_ALIGN, bytes ? bytes : 1)) abort();
    memset(memory, 0x5a, bytes);
    return memory;
}

static void open_and_run(const file *f, const tody_setup *setup, tally *tally) {
    tody_model model;
    tody_status status = tody_open(&model, f->data, f->bytes, setup);
    tally->by_status[-status]++;
    if (status) return;
    if (model.need.arena_bytes > MAX_ARENA || model.need.scratch_bytes > MAX_SCRATCH ||
        model.need.prepared_bytes > MAX_SCRATCH || watch_cost(&model) > MAX_COST) {
        tally->skipped++;
        return;
    }
    void *arena = aligned(model.need.arena_bytes), *scratch = aligned(model.need.scratch_bytes);
    void *prepared = aligned(model.need.prepared_bytes);
    if (tody_bind(&model, arena, model.need.arena_bytes, scratch, model.need.scratch_bytes)) abort();
    if (below(4) && tody_prepare(&model, prepared, model.need.prepared_bytes)) abort();
    fill_inputs(&model);
    const uint32_t before = tody_crc32(0, f->data, f->bytes);
    watch_run(&model);
    if (tody_crc32(0, f->data, f->bytes) != before) {
        fprintf(stderr, "the model wrote to its file\n");
        tell_finding();
        abort();
    }
    tally->run++;
    free(arena);
    free(scratch);
    free(prepared);
}

static void open_and_run_by_some_set(const file *f, tally *tally) {
    uint32_t set_count = 0;
    while (tody_kernel_sets[set_count]) set_count++;
    tody_kernels kernels = tody_kernels_pick(tody_cpu_features(), tody_kernel_sets[below(set_count)]->name);
    if (below(2)) kernels.strassen_least = kernels.strassen_rows = 0;  // no file is large enough otherwise
    const tody_parallel parallel = {THREADS, run_backwards, NULL};
    alarm(MAX_SECONDS);
    const tody_setup setup = {.kernels = &kernels, .parallel = below(2) ? &parallel : NULL, .prepare = below(2)};
    open_and_run(f, &setup, tally);
}

static file copy_seed(const char *path, const file *seed, uint64_t number) {
    file f = {malloc(seed->bytes + EXTRA), seed->bytes};
    if (!f.data) abort();
    memcpy(f.data, seed->data, f.bytes);
    current.file = f;
    current.capacity = f.bytes + EXTRA;
    current.number = number;
    current.seed = path;
    return f;
}

// Whether a seed is sound as it is. Without that its mutations would test nothing.
static bool seed_sound(const char *path, const file *seed) {
    tally tally = {0};
    file f = copy_seed(path, seed, 0);
    open_and_run_by_some_set(&f, &tally);
    free(f.data);
    if (tally.run == 0) fprintf(stderr, "%s: the seed itself does not run\n", path);
    return tally.run == 1;
}

static void mutation(char **paths, const file *seeds, uint32_t seed_count, uint64_t number, tally *tally) {
    random_state = number * 0xd1342543de82ef95;
    const uint32_t pick = below(seed_count);
    file f = copy_seed(paths[pick], &seeds[pick], number);
    for (uint32_t i = 1 + below(3); i > 0; i--) mutate_once(&f);
    repair(&f);
    f.data = realloc(f.data, f.bytes);  // so that the byte after the last is out of bounds
    if (!f.data) abort();
    current.file = f;
    open_and_run_by_some_set(&f, tally);
    free(f.data);
}

static void print(const tally *tally, uint64_t count) {
    printf("%llu mutations: %llu run, %llu too large to run", (unsigned long long)count, (unsigned long long)tally->run,
           (unsigned long long)tally->skipped);
    for (int i = 1; i < STATUSES; i++) {
        if (tally->by_status[i])
            printf("\n%9llu  %s", (unsigned long long)tally->by_status[i], tody_status_text((tody_status)-i));
    }
    printf("\n");
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: mutate COUNT FIRST SEED.tody..\n");
        return 2;
    }
    const uint64_t count = strtoull(argv[1], NULL, 10), first = strtoull(argv[2], NULL, 10);
    const uint32_t seed_count = (uint32_t)argc - 3;
    char **paths = argv + 3;
    file *seeds = malloc(seed_count * sizeof *seeds);
    if (!seeds) return 2;
    __sanitizer_set_death_callback(tell_finding);
    bool sound = true;
    for (uint32_t i = 0; i < seed_count; i++) {
        seeds[i] = read_file(paths[i]);
        if (!seed_sound(paths[i], &seeds[i])) sound = false;
    }
    tally tally = {0};
    for (uint64_t i = 0; sound && i < count; i++) mutation(paths, seeds, seed_count, first + i, &tally);
    print(&tally, count);
    for (uint32_t i = 0; i < seed_count; i++) free(seeds[i].data);
    free(seeds);
    return sound ? 0 : 1;
}
