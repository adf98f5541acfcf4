// tody.h - run a .tody model: open, bind, run.
// SPDX-License-Identifier: Apache-2.0
//
// The whole life of a model:
//
//     tody_model model;
//     tody_setup setup = {.kernels = &kernels};
//     tody_status status = tody_open(&model, file, file_bytes, &setup);   // proves the file sound
//     if (status) return report(tody_status_text(status), model.fault);
//     tody_bind(&model, arena, scratch);      // model.need says how large each must be
//     tody_prepare(&model, prepared);         // optional, for speed
//     memcpy(tody_input(&model, 0).data, pixels, ...);
//     tody_run(&model);                       // cannot fail
//
// The library allocates nothing and keeps no state: two models may run at once in two threads, each with its own
// tody_model, arena and scratch. They may share the file.
#ifndef TODY_API_H
#define TODY_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TODY_VERSION "0.1.0"
#define TODY_MAX_RANK 6u
#define TODY_ALIGN 64u  // of arena and scratch; the file needs TODY_FILE_ALIGN
#define TODY_FILE_ALIGN 16u
#define TODY_HEADER_BYTES 128u  // of a file

// Negative: an error. Text for each in tody_status_text.
typedef enum tody_status {
    TODY_OK = 0,
    TODY_ERR_TRUNCATED = -1,  // the file is shorter than it says
    TODY_ERR_MAGIC = -2,      // not a .tody file
    TODY_ERR_VERSION = -3,    // a format version that this runtime does not know
    TODY_ERR_HEADER = -4,     // a header field is out of bounds, or a reserved byte is not zero
    TODY_ERR_CHECKSUM = -5,   // the bytes are not those that were written
    TODY_ERR_TENSOR = -6,     // a tensor record is unsound (fault: its index)
    TODY_ERR_OP = -7,         // this runtime lacks the operator (fault: index of the operator)
    TODY_ERR_OP_RECORD = -8,  // an operator record is unsound (fault: its index)
    TODY_ERR_SHAPE = -9,      // a tensor does not fit its operator (fault: index of the operator)
    TODY_ERR_PARAM = -10,     // a parameter value is out of range (fault: index of the operator)
    TODY_ERR_DTYPE = -11,     // the operator is not defined for this dtype here (fault: index of the operator)
    TODY_ERR_ALIGN = -12,     // the file, arena, scratch or prepared memory is not aligned
    TODY_ERR_MEMORY = -13,    // arena, scratch or prepared memory is smaller than model.need
    TODY_ERR_ARGUMENT = -14,  // a caller's argument is out of range
    TODY_ERR_CODED = -15,     // tody_open: the file is coded, see tody_unpack_run
    TODY_ERR_BLOCK = -16,     // a block of a coded file is unsound
} tody_status;

// Element types. Values are those of the file.
typedef enum tody_dtype {
    TODY_F32 = 1,
    TODY_S8 = 2,
    TODY_U8 = 3,
    TODY_S32 = 4,
    TODY_BOOL = 5,  // one byte; zero is false, anything else true; operators write 0 or 1
    TODY_S64 = 6,   // `cast` and operators that move elements alone take it
    TODY_F16 = 7,   // likewise; stored weights too
    TODY_S16 = 8,   // quantised around 0: for what 8 bits cannot hold
    TODY_BF16 = 9,  // the upper half of a float32: of constants alone, that multiply sums of integers
} tody_dtype;

// A tensor as its user sees it: row-major, innermost dimension last.
typedef struct tody_tensor {
    void *data;             // NULL for an activation before tody_bind
    const uint32_t *shape;  // rank values
    uint32_t rank;          // 0 .. TODY_MAX_RANK
    uint32_t count;         // elements, the product of shape
    tody_dtype dtype;
    uint32_t pack;        // how weights are laid out: core/format.h
    const float *scales;  // int8 and int16: `scale_count` values (1: per tensor), else NULL
    uint32_t scale_count;
    int32_t zero_point;  // int8: the integer that means 0.0
    uint32_t pitch;      // elements from one row of the last dimension to the next: its length, or more in a slice of channels
} tody_tensor;

// One of the tasks of a parallel_for. `thread` is below tody_parallel.threads and unique among tasks that run at once.
typedef void (*tody_task)(void *context, uint32_t task, uint32_t thread);

// Threads are handed in. `run` calls task(context, i, thread) once for every i < tasks, in any order, and returns when all are
// done. threads = 0 or run = NULL: everything happens in the caller's thread. Neighbouring tasks, and those of equal number in
// one job after the other, best stay with one core: they share data. examples/c/own_threads.c hands in its own.
typedef struct tody_parallel {
    uint32_t threads;
    void (*run)(void *pool, uint32_t tasks, tody_task task, void *context);
    void *pool;
} tody_parallel;

typedef struct tody_kernels tody_kernels;  // core/kernels.h
typedef struct tody_op tody_op;            // core/op.h

// How a model shall run. Whatever is pointed to must outlive the model.
typedef struct tody_setup {
    const tody_kernels *kernels;    // from tody_kernels_pick
    const tody_op *const *ops;      // NULL-terminated list; NULL: all operators of this build (tody_ops)
    const tody_parallel *parallel;  // NULL: one thread
    uint32_t pointer_bytes;         // 0: this machine's. Another one's, 4 or 8: `need` is what it needs, for tody_open alone
    bool prepare;  // `need` counts what tody_prepare makes, and what it takes to run with it; else it makes nothing
    bool f16;      // with `prepare`: products of float32 in float16 arithmetic, if the kernel set has it; else nothing changes
} tody_setup;

// Memory a model needs, in bytes.
typedef struct tody_need {
    size_t arena_bytes;     // activations; holds the inputs and outputs, so every clone has its own
    size_t scratch_bytes;   // working memory of the operators; may be shared by models that never run at once
    size_t prepared_bytes;  // what operators make of their weights once; clones share it. 0 unless tody_setup.prepare
} tody_need;

// Private but visible, so that the caller can place it. Read `need` and `fault`; leave the rest alone.
typedef struct tody_model {
    tody_need need;
    uint32_t fault;  // after an error: the record it is about
    uint32_t input_count, output_count, op_count;
    const uint8_t *file;
    tody_setup setup;
    uint8_t *arena, *scratch, *prepared;
} tody_model;

// Check every byte that the runtime will rely on and say how much memory the model needs. `file` must stay unchanged and
// aligned to TODY_FILE_ALIGN while the model lives. Returns TODY_OK, or the first error with model->fault set.
// The weights' own checksum is not read here, because that would touch every page: see tody_check_weights.
tody_status tody_open(tody_model *model, const void *file, size_t file_bytes, const tody_setup *setup);

// Compare the checksums of weights and metadata; reads the whole file. TODY_OK or TODY_ERR_CHECKSUM.
tody_status tody_check_weights(const tody_model *model);

// Give an opened model its memory, each aligned to TODY_ALIGN and at least as large as model->need. May be called again to move
// the model; copying a tody_model and binding the copy to other memory makes a clone that shares the file.
tody_status tody_bind(tody_model *model, void *arena, size_t arena_bytes, void *scratch, size_t scratch_bytes);

// Let operators make of their weights, once and on all threads, what lets them run faster: `memory` is aligned to TODY_ALIGN,
// at least as large as model->need.prepared_bytes, and only read afterwards, so that clones made from here on share it. May
// come before or after tody_bind. A model that was not prepared gives the same results, but for float32's rounding.
tody_status tody_prepare(tody_model *model, void *memory, size_t bytes);

// Run a bound model. Cannot fail.
void tody_run(tody_model *model);

// Run operator `index` (below op_count) alone; tody_run is this for each in turn. For profilers. A `strips` runs the whole
// chain that follows it, whose operators then have nothing left to do.
void tody_step(tody_model *model, uint32_t index);

// Name of operator `index`, for messages and profiles.
const char *tody_op_name(const tody_model *model, uint32_t index);

// The i-th input or output. After tody_bind `data` points into the arena. index must be below the count.
tody_tensor tody_input(const tody_model *model, uint32_t index);
tody_tensor tody_output(const tody_model *model, uint32_t index);

// First output tensor of operator `index`, for profilers and debuggers. Valid right after tody_step(model, index) only, since
// later operators reuse the memory. `data` is NULL for a tensor inside of a chain, because it never exists whole. Inputs and
// outputs of a model have rows that follow each other; an operator's output may be a slice, with a larger `pitch`.
tody_tensor tody_op_output(const tody_model *model, uint32_t index);

// Symbols and their shares of 4096 slots, of a block of a coded file.
typedef struct tody_unpack_table {
    uint16_t start[257];  // symbol i has the slots start[i] .. start[i + 1] - 1
    uint8_t symbol[256];
    uint8_t first[1024];  // the i that has slot 4 * index
} tody_unpack_table;

// Where in a block of padded panels a decoder is: the geometry of core/format.h, and indices below it.
typedef struct tody_unpack_panels {
    uint32_t rows, depth, panels, lanes, deep;
    uint32_t row, deep_row, panel;
} tody_unpack_panels;

// Turns a coded .tody file into the plain one that tody_open takes, in pieces of any size; a plain file comes out as it is. The
// caller sets the first four fields before each tody_unpack_run, which moves them on; the rest is private. 8 KB.
typedef struct tody_unpack {
    const uint8_t *in;  // what has arrived
    size_t in_bytes;
    uint8_t *out;  // where the next plain bytes go
    size_t out_bytes;
    bool done;  // the plain file is complete, and its weights have the checksum that it states
    tody_status status;
    uint32_t stage, kind, tables, table_bytes;  // kind: tables of the block; tables: read so far; table_bytes: of the next
    uint32_t coded_left, plain_left, made;      // bytes to come, and plain ones made
    uint32_t block_left, block_end;             // plain bytes of the block to come; coded_left where it ends
    uint32_t weights_at, weights_bytes, weights_crc, crc;
    uint32_t states[4], hungry, row_at;  // hungry: 1 + the state that waits for a word; row_at: next byte of the row
    tody_unpack_panels panels;
    uint32_t held;  // bytes in `hold`: what must come together, the header, a table, a word
    uint8_t lower;  // the byte before
    uint8_t hold[560];
    tody_unpack_table table[4];
} tody_unpack;

// Size of the plain file, from the first TODY_HEADER_BYTES of any .tody file.
tody_status tody_plain_bytes(const void *header, size_t header_bytes, size_t *plain_bytes);

void tody_unpack_begin(tody_unpack *unpack);

// Decode as far as `in` and `out` allow. Returns TODY_OK, also where more of either is needed, or what is wrong with the file;
// a plain file that comes without an error is yet to be proved by tody_open.
tody_status tody_unpack_run(tody_unpack *unpack);

// The same for a whole file: `plain` has tody_plain_bytes bytes. `work` is only used meanwhile.
tody_status tody_unpack_file(tody_unpack *work, const void *file, size_t file_bytes, void *plain, size_t plain_bytes);

// One English sentence without a full stop.
const char *tody_status_text(tody_status status);

// Bytes of one element; 0 for an unknown dtype.
size_t tody_dtype_bytes(tody_dtype dtype);

#ifdef __cplusplus
}
#endif
#endif
