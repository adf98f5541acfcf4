// format.h - the bytes of a .tody file. docs/format.md is the text, sdk/tody/format.py the twin.
// SPDX-License-Identifier: Apache-2.0
//
// Little-endian, offsets from byte 0, no pointers. Sections in this order: header, tensors, operators, inputs and outputs,
// weights, metadata. Every record is made of 4-byte fields at 4-byte offsets and is used in place.
#ifndef TODY_FORMAT_H
#define TODY_FORMAT_H

#include <stdint.h>

#define TODY_MAGIC "TODY"
#define TODY_FORMAT_MAJOR 1u
#define TODY_FORMAT_MINOR 14u
#define TODY_TILES_MINOR 3u     // the first that knows tody_tensor_record.tile
#define TODY_S16_MINOR 5u       // the first that knows TODY_S16
#define TODY_FLEETING_MINOR 7u  // the first that knows TODY_TILE_FLEETING
#define TODY_QUARTERS_MINOR 9u  // the first that knows TODY_TILE_QUARTERS
#define TODY_PHASES_MINOR 11u   // the first that knows tiles of other windows than 3x3, and of those that move by more than 1
#define TODY_BF16_MINOR 11u     // the first that knows TODY_BF16
#define TODY_PITCH_MINOR 13u    // the first that knows tody_tensor_record.pitch
#define TODY_NONE 0xFFFFFFFFu   // an optional input or output that is absent
#define TODY_WEIGHT_ALIGN 64u   // of the weights section in the file, and of each tensor in it
#define TODY_ARENA_ALIGN 16u    // of each tensor in the arena
#define TODY_PANEL 16u          // output channels in a panel of packed weights
#define TODY_CHUNK 128u         // words in a chunk of weights in blocks
#define TODY_GROUP_S8 4u        // int8 panels: input channels that lie side by side
#define TODY_GROUP_S16 2u       // the same of int16
#define TODY_MAX_CHAIN 16u      // operators that one `strips` runs

typedef struct tody_header {
    uint8_t magic[4];
    uint16_t major, minor;
    uint32_t header_bytes;  // sizeof(tody_header) in this version
    uint32_t file_bytes;
    uint32_t structure_crc;  // CRC-32 of bytes [0, weights_at), this field taken as zero
    uint32_t weights_crc;    // CRC-32 of the weights section
    uint32_t meta_crc;       // CRC-32 of the metadata section
    uint32_t flags;          // TODY_CODED or zero
    uint32_t tensors_at, tensor_count;
    uint32_t ops_at, ops_bytes, op_count;
    uint32_t io_at, input_count, output_count;  // input_count, then output_count tensor indices
    uint32_t weights_at, weights_bytes;
    uint32_t meta_at, meta_bytes;
    uint32_t arena_bytes;
    uint32_t coded_bytes;   // TODY_CODED: size of this file, while all other fields are those of the plain file; else zero
    uint32_t reserved[10];  // zero
} tody_header;

enum { TODY_CODED = 1 };  // tody_header.flags: blocks follow the header, and decode to what follows the plain file's

// tody_tensor_record.place. TODY_IN_STRIPS: between the operators of a chain; some of its rows at a time lie in the chain's
// windows.
enum { TODY_IN_ARENA = 0, TODY_IN_WEIGHTS = 1, TODY_IN_STRIPS = 2 };
enum { TODY_TILE_FLEETING = 256 };  // weights are transformed whenever they are needed, and not kept
enum { TODY_MAX_TILE = 5 };
enum { TODY_TILE_QUARTERS = 512 };                          // alone: of a product that should go by Strassen's way
enum { TODY_PLAIN = 0, TODY_PANELS = 1, TODY_BLOCKS = 2 };  // tody_tensor_record.pack

// TODY_PANELS, float32: a tensor [G, N, T, K] (groups, output channels, taps, input channels) is stored as
// [G][ceil(N/16)][T][K][16], one of [G, N] (a bias) as [G][ceil(N/16)][16]; what is missing of the last panel is zero.
// int8: [G][ceil(N/16)][T][ceil(K/4)][16][4]. int16: [G][ceil(N/16)][T][ceil(K/2)][16][2].
//
// TODY_BLOCKS: an int8 tensor [1, N, T, K] of which many blocks of four input channels are zero. Word t * ceil(K/4) + k/4 of a
// row holds input channels k to k + 3 of tap t; words are cut into chunks of TODY_CHUNK. Four parts: int32 sums[N], of all
// weights of an output channel; u32 starts[chunks * N + 1]: the blocks of chunk c and channel n are those from
// starts[c * N + n] to the next one; u8 places[], the word of each block within its chunk, rising, and zeros up to a multiple
// of 4; int8 w[][4].
typedef struct tody_tensor_record {
    uint8_t dtype, rank, place, pack;
    uint32_t shape[6];     // unused dimensions are zero
    uint32_t at;           // from the start of the arena, of the weights section, or of the chain's windows
    uint32_t bytes;        // exactly what dtype, shape, pack, rows and pitch imply
    uint32_t scale_count;  // 0: not quantised, or weights; 1: per tensor; else one per output channel
    uint32_t scales_at;    // in the weights section: scale_count float32
    int32_t zero_point;    // per-channel tensors have 0
    uint32_t tile;         // weights of a convolution: edge of the tiles that Winograd's way should use, 2 to 5, and perhaps
                           // TODY_TILE_FLEETING; of a product without taps TODY_TILE_QUARTERS; 0: none
    uint32_t rows;         // TODY_IN_STRIPS: how many of shape[1] rows are kept at a time; else zero
    uint32_t pitch;     // float32, of a slice of another tensor's last dimension: elements from one row to the next; else zero
    uint32_t reserved;  // zero
} tody_tensor_record;

// An operator: this, then input_count and output_count tensor indices, then param_bytes of parameters.
typedef struct tody_op_record {
    uint16_t code, input_count, output_count, param_bytes;
} tody_op_record;

// A coded file: blocks behind the header, each of which gives some bytes of the plain file, until that is complete. A block
// begins with a u32: the number of bytes in the lower 24 bits, above them its kind, which is its number of tables: none (the
// bytes follow as they are), one for all bytes, one for each byte of 2-byte words (of which the upper byte stands for what the
// lower one leaves as a signed number), or one for each byte of 4-byte words; plus TODY_BLOCK_PANELS. A second u32 says
// how many bytes follow: a tody_block_panels if there is that flag, the tables, four states (u32), and words (u16).
// docs/format.md has the rest.
enum { TODY_BLOCK_RAW = 0, TODY_BLOCK_BYTES = 1, TODY_BLOCK_PAIRS = 2, TODY_BLOCK_WORDS = 4, TODY_BLOCK_PANELS = 0x80 };
#define TODY_BLOCK_ROW 64u      // bytes of a row: 16 lanes of 4
#define TODY_BLOCK_SCALE 4096u  // what the frequencies of a table add up to

// Bytes that are zero because panels are padded, and not coded: rows of 64 bytes stand in panels of `rows`, these in groups of
// `panels`. Of a group's last panel only the first `lanes` lanes count, of every depth-th row only `deep` bytes of each lane.
typedef struct tody_block_panels {
    uint32_t rows, depth, panels;  // at least 1
    uint8_t lanes, deep;           // 1 to 16, 1 to 4
    uint8_t reserved[2];           // zero
} tody_block_panels;

// Operators. Tensors are listed as inputs -> outputs; [x] is optional (TODY_NONE). Images are NHWC, rank 4. Of int8, some have
// multipliers as further inputs, behind all that are listed here: docs/format.md.
typedef enum tody_code {
    TODY_OP_CONV = 1,            // x, w panels [G,N,T,K], [bias panels [G,N]], [addend like y] -> y
    TODY_OP_DWCONV = 2,          // x, w [T,C], [bias [C]], [addend] -> y
    TODY_OP_DECONV = 3,          // x, w panels [G,N,T,K], [bias] -> y
    TODY_OP_DENSE = 4,           // x [..,K], w panels [1,N,1,K], [bias panels [1,N]], [addend like y] -> y [..,N]
    TODY_OP_MATMUL = 5,          // a [B..,M,K], b [B..,K,N] -> y [B..,M,N]; batch dimensions broadcast, ranks equal
    TODY_OP_POOL = 6,            // x -> y
    TODY_OP_UNARY = 7,           // x -> y, same shape
    TODY_OP_BINARY = 8,          // a, b -> y; ranks equal, dimensions equal or 1
    TODY_OP_WHERE = 9,           // condition (bool), a, b -> y; ranks equal, dimensions equal or 1
    TODY_OP_CAST = 10,           // x -> y, same shape, other dtype (or other quantisation)
    TODY_OP_SOFTMAX = 11,        // x -> y
    TODY_OP_LAYER_NORM = 12,     // x, [scale], [bias] (shape of the normalised dimensions) -> y
    TODY_OP_INSTANCE_NORM = 13,  // x [N,H,W,C], [scale [C]], [bias [C]] -> y
    TODY_OP_RESIZE = 14,         // x, row index [OH,KH] s32, row weight [OH,KH], column index [OW,KW], column weight -> y
    TODY_OP_COPY = 15,           // x -> y: y[i] = x[offset + sum i_d * stride_d]: transpose, slice, expand, flip
    TODY_OP_CONCAT = 16,         // x.. -> y
    TODY_OP_PAD = 17,            // x -> y
    TODY_OP_GATHER = 18,         // x, indices s32 [..] -> y: shape of x with dimension `axis` replaced by the indices' shape
    TODY_OP_REDUCE = 19,         // x -> y, reduced dimensions are 1
    TODY_OP_ARG_REDUCE = 20,     // x -> y s32, dimension `axis` is 1
    TODY_OP_TOPK = 21,           // x -> values, indices s32
    TODY_OP_CUMSUM = 22,         // x -> y
    TODY_OP_LSTM = 23,           // x [T,B,I], w panels [D,4H,1,I], r panels [D,4H,1,H], [bias panels [D,4H]], [h0 [D,B,H]],
                                 // [c0 [D,B,H]], [peephole [D,3H]] -> y [T,D,B,H], [h [D,B,H]], [c [D,B,H]]; gates i o f c
    TODY_OP_GRU = 24,            // x, w panels [D,3H,1,I], r panels [D,3H,1,H], [wbias panels [D,3H]], [rbias panels [D,3H]],
                                 // [h0] -> y, [h]; gates z r h
    TODY_OP_RNN = 25,            // x, w panels [D,H,1,I], r panels [D,H,1,H], [bias panels [D,H]], [h0] -> y, [h]
    TODY_OP_LUT = 26,            // x s8, table s8 [256] -> y s8: y = table[x + 128]
    TODY_OP_STRIPS = 27,     // -> y, windows u8 [bytes]: runs the operators that follow as a chain, the last of which makes y
    TODY_OP_ATTENTION = 28,  // q [B..,M,K], k [B..,K,N], v [B..,N,E], [addend [B..,M,N]] -> y [B..,M,E]
} tody_code;

// Functions of one argument: the unary operator, and the activation of others. a and b are parameters.
typedef enum tody_fn {
    TODY_FN_NONE = 0,
    TODY_FN_CLAMP = 1,  // min(max(x, a), b); ReLU is a=0, b=inf
    TODY_FN_LEAKY_RELU = 2,
    TODY_FN_ELU = 3,
    TODY_FN_SELU = 4,  // b * (x > 0 ? x : a * (exp(x) - 1))
    TODY_FN_CELU = 5,
    TODY_FN_SIGMOID = 6,
    TODY_FN_TANH = 7,
    TODY_FN_HARD_SIGMOID = 8,  // clamp(a * x + b, 0, 1)
    TODY_FN_HARD_SWISH = 9,    // x * clamp(x / 6 + 0.5, 0, 1)
    TODY_FN_SILU = 10,         // x * sigmoid(a * x)
    TODY_FN_GELU = 11,         // exact, by erf
    TODY_FN_GELU_TANH = 12,
    TODY_FN_MISH = 13,
    TODY_FN_SOFTPLUS = 14,
    TODY_FN_SOFTSIGN = 15,
    TODY_FN_THRESHOLDED_RELU = 16,  // x > a ? x : 0
    TODY_FN_SHRINK = 17,            // x < -a ? x + b : x > a ? x - b : 0
    TODY_FN_AFFINE = 18,            // a * x + b
    TODY_FN_EXP = 19,
    TODY_FN_LOG = 20,
    TODY_FN_SQRT = 21,
    TODY_FN_RECIPROCAL = 22,
    TODY_FN_ABS = 23,
    TODY_FN_NEG = 24,
    TODY_FN_SIGN = 25,
    TODY_FN_FLOOR = 26,
    TODY_FN_CEIL = 27,
    TODY_FN_ROUND = 28,  // half to even
    TODY_FN_ERF = 29,
    TODY_FN_SIN = 30,
    TODY_FN_COS = 31,
    TODY_FN_TAN = 32,
    TODY_FN_ASIN = 33,
    TODY_FN_ACOS = 34,
    TODY_FN_ATAN = 35,
    TODY_FN_SINH = 36,
    TODY_FN_COSH = 37,
    TODY_FN_ASINH = 38,
    TODY_FN_ACOSH = 39,
    TODY_FN_ATANH = 40,
    TODY_FN_NOT = 41,     // bool -> bool
    TODY_FN_IS_NAN = 42,  // float32 -> bool
    TODY_FN_IS_INF = 43,  // float32 -> bool; a != 0 takes -inf, b != 0 takes +inf
    TODY_FN_COUNT = 44,
} tody_fn;

// Functions of two arguments.
typedef enum tody_fn2 {
    TODY_FN2_ADD = 0,  // float32 and s32 from here
    TODY_FN2_SUB = 1,
    TODY_FN2_MUL = 2,
    TODY_FN2_DIV = 3,  // s32: towards zero; by zero gives 0
    TODY_FN2_MIN = 4,
    TODY_FN2_MAX = 5,
    TODY_FN2_MOD = 6,     // sign of the divisor; s32: by zero gives 0
    TODY_FN2_FMOD = 7,    // sign of the dividend
    TODY_FN2_POW = 8,     // float32 only
    TODY_FN2_PRELU = 9,   // a < 0 ? a * b : a; float32 only
    TODY_FN2_EQUAL = 10,  // to bool from here; EQUAL takes bool too
    TODY_FN2_LESS = 11,
    TODY_FN2_LESS_EQUAL = 12,
    TODY_FN2_AND = 13,  // bool only from here
    TODY_FN2_OR = 14,
    TODY_FN2_XOR = 15,
    TODY_FN2_COUNT = 16,
} tody_fn2;

enum { TODY_POOL_MAX = 0, TODY_POOL_AVERAGE = 1 };
enum {
    TODY_REDUCE_SUM = 0,
    TODY_REDUCE_MEAN = 1,
    TODY_REDUCE_MAX = 2,
    TODY_REDUCE_MIN = 3,
    TODY_REDUCE_PROD = 4,
    TODY_REDUCE_COUNT = 5
};
enum { TODY_PAD_CONSTANT = 0, TODY_PAD_EDGE = 1, TODY_PAD_REFLECT = 2, TODY_PAD_WRAP = 3, TODY_PAD_COUNT = 4 };
enum { TODY_FORWARD = 0, TODY_REVERSE = 1, TODY_BOTH = 2 };  // direction of a recurrent operator

// Applied to a result before it is stored, after bias and addend.
typedef struct tody_activation {
    uint32_t fn;  // tody_fn
    float a, b;
} tody_activation;

// Window of a convolution or pooling: [0] rows, [1] columns.
typedef struct tody_window {
    uint32_t kernel[2], stride[2], dilation[2];  // 1 .. 65535
    uint32_t pad[4];                             // top, left, bottom, right: 0 .. 65535
} tody_window;

typedef struct tody_conv_params {  // conv, dwconv, deconv
    tody_window window;            // deconv: `pad` is what is cut from the full result
    uint32_t groups;               // dwconv: equals the channels
    tody_activation activation;
} tody_conv_params;

typedef struct tody_dense_params {
    tody_activation activation;
} tody_dense_params;

typedef struct tody_matmul_params {
    uint32_t transpose_b;  // 1: b is [B..,N,K]
} tody_matmul_params;

typedef struct tody_attention_params {
    uint32_t transpose_k;  // 1: k is [B..,N,K]
} tody_attention_params;

typedef struct tody_pool_params {
    tody_window window;
    uint32_t kind;         // TODY_POOL_*
    uint32_t include_pad;  // average: padding counts as zeros
} tody_pool_params;

typedef struct tody_unary_params {
    tody_activation function;
} tody_unary_params;

typedef struct tody_binary_params {
    uint32_t fn;                 // tody_fn2
    tody_activation activation;  // NONE or CLAMP
} tody_binary_params;

typedef struct tody_softmax_params {
    uint32_t axis;
    uint32_t log;  // 1: the logarithm of the softmax
} tody_softmax_params;

typedef struct tody_layer_norm_params {
    uint32_t axis;  // dimensions axis .. rank-1 are normalised together
    float epsilon;
    uint32_t rms;  // 1: without subtracting the mean
} tody_layer_norm_params;

typedef struct tody_instance_norm_params {
    float epsilon;
    tody_activation activation;
} tody_instance_norm_params;

typedef struct tody_copy_params {  // in elements of x
    int32_t offset;
    int32_t stride[6];  // one per dimension of y; unused ones are zero
} tody_copy_params;

typedef struct tody_concat_params {
    uint32_t axis;
} tody_concat_params;

typedef struct tody_pad_params {
    uint32_t mode;       // TODY_PAD_*
    uint32_t before[6];  // what comes after follows from the shapes; unused ones are zero
    float value;         // constant mode, in the real domain
} tody_pad_params;

typedef struct tody_gather_params {
    uint32_t axis;  // indices are clamped to the dimension when they are not constant
} tody_gather_params;

typedef struct tody_reduce_params {
    uint32_t fn;    // TODY_REDUCE_*
    uint32_t axes;  // bit d: dimension d is reduced
} tody_reduce_params;

typedef struct tody_arg_reduce_params {
    uint32_t axis;
    uint32_t least;  // 1: of the smallest element
    uint32_t last;   // 1: the last one among equals
} tody_arg_reduce_params;

typedef struct tody_topk_params {
    uint32_t axis;      // k is the output's dimension
    uint32_t smallest;  // 1: the k smallest
} tody_topk_params;

typedef struct tody_cumsum_params {
    uint32_t axis, exclusive, reverse;
} tody_cumsum_params;

typedef struct tody_recurrent_params {
    uint32_t direction;
    uint32_t linear_before_reset;  // gru
} tody_recurrent_params;

typedef struct tody_strips_params {
    uint32_t count;  // operators that follow and belong to the chain: 2 .. TODY_MAX_CHAIN
    uint32_t rows;   // of y in a strip: 1 .. y's
} tody_strips_params;

_Static_assert(sizeof(tody_header) == 128, "header");
_Static_assert(sizeof(tody_block_panels) == 16, "block of panels");
_Static_assert(sizeof(tody_tensor_record) == 64, "tensor record");
_Static_assert(sizeof(tody_op_record) == 8, "operator record");
_Static_assert(sizeof(tody_conv_params) == 56, "conv params");
_Static_assert(sizeof(tody_pool_params) == 48, "pool params");
_Static_assert(sizeof(tody_copy_params) == 28, "copy params");
_Static_assert(sizeof(tody_pad_params) == 32, "pad params");

#endif
