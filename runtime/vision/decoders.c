// decoders.c - the list of decoders, and what each takes.
// SPDX-License-Identifier: Apache-2.0
//
// N: boxes. C: classes. P: points. B: bins. S: strides, h and w: rows and columns of a stride's grid, ceil(height / stride) and
// ceil(width / stride); n = h * w. A [1,n,K] tensor may as well be [1,K,n], [1,K,h,w], [1,h,w,K] or lack the 1 (only where K =
// n or K = w is it ambiguous: rank 4 is then read as channels first, rank 3 as channels last). Every decoder wants `classes`;
// JSON keys in brackets have the default shown. Outputs stand in the order of decoder.outputs.
//
// name        outputs                                              parameters
// nanodet     per stride: cls [1,n,C], reg [1,n,4B];               strides, bins; [sigmoid false] [corner false]
//             or one [1,N,C+4B], N = sum of n                      (NanoDet-Plus: corner true; GFL elsewhere: sigmoid true)
// yolov8_raw  per stride: [1,n,4B+C], or reg [1,n,4B], cls [1,n,C];  strides, bins; [sigmoid true] [corner false]
//             or one [1,N,4B+C]
// yolov8      one [1,4+C+3P,N]: cx, cy, w, h, classes, points      [points 0] [sigmoid false] [normalized false]
//             (x, y, visibility each); YOLOv8, v9, v11
// yolov10     one [1,N,6+3P]: x0, y0, x1, y1, score, class, points     [points 0] [normalized false]
// yolov5      one [1,N,5+C]: cx, cy, w, h, objectness, classes     [sigmoid false] [normalized false]
//             raw: per stride [1,A,h,w,5+C], [1,A*(5+C),h,w] or    strides, anchors (A rows of w, h in pixels for each stride
//             [1,h,w,A*(5+C)]                                      in turn), sigmoid true
// yolox       decoded: as yolov5. raw: one [1,N,5+C] or            raw only: strides. [sigmoid false] [normalized false]
//             per stride [1,5+C,h,w]
// ssd         scores [1,N,C'], boxes [1,N,4], with points also     anchors (N rows of cx, cy, w, h), variance (4 numbers), or
//             points [1,N,2P]. C' = C, or C + 1 with softmax or    neither: boxes are then x0, y0, x1, y1. [sigmoid false]
//             background                                           [softmax false] [background false] [normalized true]
//                                                                  [y_first false] (TensorFlow's have it true)
// blazeface   pairs of scores [1,n,1], regressors [1,n,4+2P],      strides: one for each layer, as MediaPipe lists them (front
//             whose n add up to the number of anchors (2 a cell    8,16,16,16; back 16,32,32,32; full range 4), points 6
//             and layer, or 1)                                     (palms 7), classes 1; [sigmoid true]
// centerface  heat map [1,1,h,w], log size [1,2,h,w] (height,      strides (one), points 5, classes 1; [sigmoid false]
//             width), offset [1,2,h,w] (y, x), landmarks
//             [1,2P,h,w] (y, x; only when points > 0)
// centernet   heat map [1,C,h,w], size [1,2,h,w] (width, height,   strides (one); [sigmoid false]
//             in cells), offset [1,2,h,w] (x, y)
// detr        logits [1,N,C'], boxes [1,N,4] (cx, cy, w, h).       [sigmoid true, unless softmax] [softmax false]
//             C' = C, or C + 1 with softmax (the last: no object)  [normalized true]
//
// blazeface and centerface want weighted means of their boxes (TODY_NMS_WEIGHTED), yolov10, centernet and detr no suppression.
// `classify` is not here: run/classify.py needs no C.
#include <stdbool.h>

#include "vision.h"

extern const tody_decoder tody_decoder_nanodet, tody_decoder_yolov8_raw, tody_decoder_yolov8, tody_decoder_yolov10,
    tody_decoder_yolov5, tody_decoder_yolox, tody_decoder_ssd, tody_decoder_blazeface, tody_decoder_centerface,
    tody_decoder_centernet, tody_decoder_detr;

const tody_decoder *const tody_decoders[] = {
    &tody_decoder_nanodet,    &tody_decoder_yolov8_raw, &tody_decoder_yolov8, &tody_decoder_yolov10,
    &tody_decoder_yolov5,     &tody_decoder_yolox,      &tody_decoder_ssd,    &tody_decoder_blazeface,
    &tody_decoder_centerface, &tody_decoder_centernet,  &tody_decoder_detr,   NULL,
};

static bool same(const char *a, const char *b) {
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

const tody_decoder *tody_decoder_find(const char *name) {
    for (const tody_decoder *const *decoder = tody_decoders; *decoder; decoder++) {
        if (same((*decoder)->name, name)) return *decoder;
    }
    return NULL;
}
