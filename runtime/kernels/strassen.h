// strassen.h - the additions of Strassen's products, once for all sets: in vectors, whatever their width.
// SPDX-License-Identifier: Apache-2.0
//
// A set defines, before it includes this: WIDTH, vector, load, store, all, add, sub, and clamp(x, lo, hi).
#ifndef TODY_KERNELS_STRASSEN_H
#define TODY_KERNELS_STRASSEN_H

static inline void strassen_in(const tody_strassen_in *in) {
    const float *a11 = in->a, *a12 = a11 + in->count, *a21 = in->b, *a22 = a21 + in->count;
    float *s1 = in->s, *s2 = s1 + in->s_stride, *s3 = s2 + in->s_stride, *s4 = s3 + in->s_stride;
    for (size_t i = 0; i < in->count; i += WIDTH) {
        const vector x11 = load(a11 + i), x21 = load(a21 + i), sum = add(x21, load(a22 + i)), rest = sub(sum, x11);
        store(s1 + i, sum);
        store(s2 + i, rest);
        store(s3 + i, sub(x11, x21));
        store(s4 + i, sub(load(a12 + i), rest));
    }
}

// y[i] += addend[i], where there are addends.
static inline void strassen_add(float *y, const float *addend, size_t count) {
    for (size_t i = 0; addend && i < count; i += WIDTH) store(y + i, add(load(y + i), load(addend + i)));
}

static inline void strassen_out(const tody_strassen_out *out) {
    const vector lo = all(out->lo), hi = all(out->hi);
    if (out->addend) {
        strassen_add(out->x, out->addend, out->count);
        strassen_add(out->w, out->addend + out->right, out->count);
    }
    if (!out->c) {
        strassen_add(out->w, out->z, out->count);
        return;
    }
    for (size_t i = 0; i < out->count; i += WIDTH) {
        const vector z = load(out->z + i), sum = add(load(out->y + i), z);
        store(out->w + i, add(load(out->w + i), z));
        store(out->c + i, clamp(out->below ? add(sum, load(out->below + out->right + i)) : sum, lo, hi));
    }
    strassen_add(out->y, out->below, out->count);
}

#endif
