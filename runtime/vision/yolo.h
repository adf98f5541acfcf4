// yolo.h - rows of cx, cy, w, h, [objectness,] classes, [x, y, visibility of each point]: one tensor.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_YOLO_H
#define TODY_YOLO_H

#include "decode.h"

// first_class: 4, or 5 when column 4 is the objectness.
const char *tody_yolo_check(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count,
                            uint32_t first_class);
uint32_t tody_yolo_run(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t first_class, tody_box *boxes,
                       float *points, uint32_t capacity);

#endif
