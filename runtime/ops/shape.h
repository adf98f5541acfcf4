// shape.h - rules about shapes and parameters that operators share.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_SHAPE_H
#define TODY_OPS_SHAPE_H

#include "core/op.h"

static inline bool tody_same_shape(const tody_tensor *a, const tody_tensor *b) {
    if (a->rank != b->rank) return false;
    for (uint32_t d = 0; d < a->rank; d++) {
        if (a->shape[d] != b->shape[d]) return false;
    }
    return true;
}

// Whether t has exactly this shape.
static inline bool tody_has_shape(const tody_tensor *t, uint32_t rank, const uint32_t *shape) {
    return tody_same_shape(t, &(tody_tensor){.rank = rank, .shape = shape});
}

// Elements from one row of the last dimension to the next, where there is one. Slices, whose rows are parts of longer ones, are
// of float32: builds without it leave out the code.
static inline uint32_t tody_pitch(const tody_tensor *t) { return TODY_FLOAT ? t->pitch : t->shape[t->rank - 1]; }
static inline bool tody_is_slice(const tody_tensor *t) { return t->rank > 0 && tody_pitch(t) != t->shape[t->rank - 1]; }

// Product of dimensions [from, to). tody_open has proved that the product of all of them fits 31 bits.
static inline uint32_t tody_extent(const tody_tensor *t, uint32_t from, uint32_t to) {
    uint32_t product = 1;
    for (uint32_t d = from; d < to; d++) product *= t->shape[d];
    return product;
}

// Whether elements of a can be moved to b as they are: plain, the same dtype, the same quantisation (per tensor, or none).
static inline bool tody_same_type(const tody_tensor *a, const tody_tensor *b) {
    if (a->pack != TODY_PLAIN || b->pack != TODY_PLAIN || a->dtype != b->dtype) return false;
    if (a->scale_count != b->scale_count || a->scale_count > 1) return false;
    return a->scale_count == 0 || (a->scales[0] == b->scales[0] && a->zero_point == b->zero_point);
}

static inline bool tody_plain_f32(const tody_tensor *t) { return t->dtype == TODY_F32 && t->pack == TODY_PLAIN; }
static inline bool tody_panels_f32(const tody_tensor *t) { return t->dtype == TODY_F32 && t->pack == TODY_PANELS; }

// Plain real numbers: float32, or int8 or int16 with one scale.
static inline bool tody_is_real(const tody_tensor *t) {
    const bool integers = t->dtype == TODY_S8 || t->dtype == TODY_S16;
    return tody_plain_f32(t) || (integers && t->pack == TODY_PLAIN && t->scale_count == 1);
}

// An optional input's float32 values, or NULL.
static inline const float *tody_in_f32(const tody_call *call, uint32_t i) {
    return tody_has_in(call, i) ? tody_in(call, i).data : NULL;
}

// An activation from float32 to float32 with usable limits.
static inline bool tody_activation_ok(const tody_activation *f) {
    bool real = f->a == f->a && f->b == f->b;
    return real && f->fn < TODY_FN_COUNT && f->fn != TODY_FN_NOT && f->fn != TODY_FN_IS_NAN && f->fn != TODY_FN_IS_INF;
}

// Limits for kernels that clamp: those of CLAMP, else none.
static inline float tody_low(const tody_activation *f) { return f->fn == TODY_FN_CLAMP ? f->a : -__builtin_inff(); }
static inline float tody_high(const tody_activation *f) { return f->fn == TODY_FN_CLAMP ? f->b : __builtin_inff(); }

// Whether an activation still has to be applied after a kernel that clamps.
static inline bool tody_needs_unary(const tody_activation *f) { return f->fn != TODY_FN_NONE && f->fn != TODY_FN_CLAMP; }

static inline uint32_t tody_div_up(uint32_t a, uint32_t b) { return a / b + (a % b != 0); }
static inline uint32_t tody_min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint32_t tody_max_u32(uint32_t a, uint32_t b) { return a > b ? a : b; }

// Where part i begins if `rows` are dealt out to `count` parts. All get nearly the same number: a kernel has little use for a
// few rows left over, and may sum a lone row in another order, which only a product of one row shall get.
static inline uint32_t tody_share(uint32_t rows, uint32_t i, uint32_t count) {
    return rows / count * i + tody_min_u32(rows % count, i);
}

// A scratch size: rounded up to TODY_ALIGN, and SIZE_MAX (which no caller can provide) where a 32-bit machine cannot hold it.
static inline size_t tody_scratch_bytes(uint64_t bytes) {
    uint64_t rounded = (bytes + TODY_ALIGN - 1) / TODY_ALIGN * TODY_ALIGN;
    return rounded < bytes || rounded > SIZE_MAX ? SIZE_MAX : (size_t)rounded;
}

#endif
