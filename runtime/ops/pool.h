// pool.h - what float32 and integer pooling share.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_POOL_H
#define TODY_OPS_POOL_H

#include "window.h"

// Taps that count for the average at an output pixel: those in the image, or (include_pad) in the padded image.
uint32_t tody_pool_count(const tody_slide *slide, uint32_t pixel, bool include_pad);

// int8 and int16, of an operator whose float32 rules hold.
tody_status tody_check_pool_s8(const tody_call *call);
size_t tody_pool_scratch_s8(const tody_call *call);
void tody_pool_s8(const tody_call *call);

#endif
