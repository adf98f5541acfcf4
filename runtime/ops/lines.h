// lines.h - int8 products whose rows are windows over lines of an image: lines are packed once, and not a row for each window.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_LINES_H
#define TODY_OPS_LINES_H

#include "gemm.h"

// How such a product is cut: an output line into `parts`, which are packed one at a time; if it is one, `lines` output lines at
// a time. If `lines` is 0, rows are packed as such.
typedef struct tody_lines {
    uint32_t parts, lines;
} tody_lines;

// `room` is how many bytes packed lines may take.
tody_lines tody_lines_of(const tody_kernels *kernels, const tody_gemm *gemm, size_t room);

// Units that can be dealt out, and the row at which unit `unit` begins.
uint32_t tody_lines_units(const tody_lines *lines, const tody_gemm *gemm);
uint32_t tody_lines_begin(const tody_lines *lines, const tody_gemm *gemm, uint32_t unit);

// Rows [first, first + rows), of whole units, in all panels from `panel` to `end`.
void tody_lines_run(const tody_kernels *kernels, const tody_gemm *gemm, const tody_lines *lines, uint32_t first, uint32_t rows,
                    uint32_t panel, uint32_t end, int8_t *packed);

#endif
