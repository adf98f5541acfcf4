// channels.c - what a layer has for each output channel, biases and multipliers: widened where the file holds 16 bits of them.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "layer.h"

static uint32_t scale_bits(const tody_tensor *t) {
    uint32_t bits;
    memcpy(&bits, t->scales, sizeof bits);
    return bits;
}

// By how many bits to shift: to the upper half of a float32, or the exponent of the scale.
static uint32_t shift_of(const tody_tensor *t) { return t->dtype == TODY_BF16 ? 16 : (scale_bits(t) >> 23) - 127; }

bool tody_is_short_bias(const tody_tensor *t) {
    return t->dtype == TODY_S16 && t->scale_count == 1 && scale_bits(t) << 9 == 0 && shift_of(t) <= 16;
}

static bool is_short(uint32_t dtype) { return dtype == TODY_S16 || dtype == TODY_BF16; }

// Bytes that input i takes in 32 bits, if it has to be widened.
static uint64_t wide_bytes(const tody_call *call, uint32_t i) {
    if (!tody_has_in(call, i)) return 0;
    const tody_tensor_record *t = &call->records[call->in[i]];
    return is_short(t->dtype) ? 2 * (uint64_t)t->bytes : 0;
}

uint64_t tody_channels_room(const tody_call *call, uint32_t addends) {
    return wide_bytes(call, TODY_LAYER_BIAS) + wide_bytes(call, TODY_LAYER_ADDEND + addends);
}

// The values of input i, or NULL; at *room, which then moves on, if they are widened.
static const void *widen(const tody_call *call, uint32_t i, uint8_t **room) {
    if (!tody_has_in(call, i)) return NULL;
    const tody_tensor t = tody_in(call, i);
    if (!is_short(t.dtype)) return t.data;
    const uint32_t shift = shift_of(&t), count = call->records[call->in[i]].bytes / 2;
    uint32_t *to = (uint32_t *)(void *)*room;
    for (uint32_t n = 0; n < count; n++) to[n] = (uint32_t)((const int16_t *)t.data)[n] << shift;
    *room = (uint8_t *)(to + count);
    return to;
}

tody_channels tody_channels_of(const tody_call *call, uint32_t addends, uint8_t **room) {
    tody_channels channels;
    channels.bias = widen(call, TODY_LAYER_BIAS, room);
    channels.scale = widen(call, TODY_LAYER_ADDEND + addends, room);
    return channels;
}
