// vision.h - from a camera frame to an input tensor, and from output tensors to boxes.
// SPDX-License-Identifier: Apache-2.0
//
// Small C for Linux, phones and chips alike. No allocation, no OS.
#ifndef TODY_VISION_H
#define TODY_VISION_H

#include <stddef.h>
#include <stdint.h>

// How pixels lie in a frame.
typedef enum tody_pixels { TODY_BGR = 0, TODY_RGB = 1, TODY_GRAY = 2, TODY_BGRA = 3, TODY_RGBA = 4 } tody_pixels;

typedef struct tody_frame {
    const uint8_t *data;
    uint32_t width, height;
    size_t row_bytes;
    tody_pixels pixels;
} tody_frame;

typedef enum tody_fit {
    TODY_STRETCH = 0,    // both sides scaled on their own
    TODY_LETTERBOX = 1,  // scaled to fit inside, centred, the rest is `pad`
    TODY_CROP = 2,       // scaled to cover, the middle is kept
    TODY_TOP_LEFT = 3,   // as letterbox, but at the top left
} tody_fit;

// What the model wants: value = (pixel - mean[c]) * scale[c].
typedef struct tody_preprocess {
    uint32_t width, height;
    tody_fit fit;
    tody_pixels pixels;  // TODY_BGR, TODY_RGB or TODY_GRAY
    uint8_t pad[3];      // in the order of `pixels`
    float mean[3], scale[3];
    uint32_t planar;  // 1: NCHW, 0: NHWC
    uint32_t dtype;   // TODY_F32, TODY_U8 (value rounded and clamped) or TODY_S8 (value / quant_scale + zero_point, rounded and
                      // clamped)
    float quant_scale;
    int32_t zero_point;
} tody_preprocess;

// Where the frame went: x_in_model = x_in_frame * scale_x + offset_x.
typedef struct tody_placement {
    float scale_x, scale_y, offset_x, offset_y;
} tody_placement;

// 0, or a sentence saying what is out of range. tody_preprocess_run needs a 0.
const char *tody_preprocess_check(const tody_preprocess *p, const tody_frame *frame);

// Resize (bilinear, half-pixel centres, edges repeated, 11-bit weights, rounded to 8 bits), convert and write a whole input
// tensor. scratch: tody_preprocess_scratch(p) bytes, 4-byte aligned.
size_t tody_preprocess_scratch(const tody_preprocess *p);
tody_placement tody_preprocess_run(const tody_preprocess *p, const tody_frame *frame, void *tensor, void *scratch);

// One thing found, in pixels of the model's input until tody_boxes_to_frame.
#define TODY_MAX_POINTS 17u
#define TODY_MAX_STRIDES 8u
typedef struct tody_box {
    float x0, y0, x1, y1, score;
    uint32_t label;
    uint32_t anchor;  // where in the output it came from; orders equal scores
} tody_box;

// An output tensor of the model, float32.
typedef struct tody_decoder_input {
    const float *data;
    uint32_t rank;
    uint32_t shape[6];
} tody_decoder_input;

// Everything a decoder may need beyond the tensors; vision/decoders.c has the table of who takes what. Unused fields are zero.
typedef struct tody_decoder_params {
    uint32_t width, height;    // of the model's input, in pixels
    uint32_t classes, points;  // points: key points per box, at most TODY_MAX_POINTS
    uint32_t stride_count, strides[TODY_MAX_STRIDES];
    uint32_t bins;         // GFL, DFL: bins per side
    const float *anchors;  // anchor_count rows of anchor_columns: 4 (cx, cy, w, h: SSD) or 2 (w, h: YOLOv5 raw)
    uint32_t anchor_count, anchor_columns;
    float variance[4];  // SSD
    uint32_t flags;     // TODY_DECODE_*
    float score;        // keep what is at least this sure
} tody_decoder_params;

enum {
    TODY_DECODE_SIGMOID = 1,  // scores are logits
    TODY_DECODE_SOFTMAX =
        2,  // scores are logits over the classes and one more column for nothing (SSD: the first, DETR: the last)
    TODY_DECODE_BACKGROUND = 4,   // SSD: scores are sure already, the first column is background
    TODY_DECODE_NORMALIZED = 8,   // boxes (SSD: anchors) are fractions of the input instead of pixels
    TODY_DECODE_CORNER = 16,      // a cell's centre is x * stride instead of (x + 0.5) * stride
    TODY_DECODE_Y_FIRST = 64,     // SSD: boxes and points have y before x, h before w (anchors and variance have not)
    TODY_DECODE_MULTILABEL = 32,  // one box for every class that is sure enough instead of the best class only (mAP wants this)
};

// What becomes of the boxes that show one object.
typedef enum tody_nms_kind {
    TODY_NMS_NONE = 0,      // the model gives each object once
    TODY_NMS_BEST = 1,      // the surest one stays
    TODY_NMS_WEIGHTED = 2,  // it is moved to the weighted mean of them all
} tody_nms_kind;

// A decoder is a const struct in the list of vision/decoders.c.
typedef struct tody_decoder {
    const char *name;
    // 0, or a sentence saying which tensor does not fit. Proves that run stays inside every tensor.
    const char *(*check)(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count);
    // Writes at most `capacity` boxes (the most sure if there are more), in no order, and, when p->points, 2 * p->points
    // coordinates each to `points`. What is not finite is left out. Returns how many were written.
    uint32_t (*run)(const tody_decoder_params *p, const tody_decoder_input *in, uint32_t in_count, tody_box *boxes,
                    float *points, uint32_t capacity);
    tody_nms_kind nms;
} tody_decoder;

extern const tody_decoder *const tody_decoders[];  // NULL-terminated

// The decoder of that name, or NULL.
const tody_decoder *tody_decoder_find(const char *name);

// Sort by score (then anchor, then label), best first.
void tody_boxes_sort(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t count);

// No box below this score has a weight: who wants weighted means lets the decoder keep what is at least this sure.
#define TODY_WEIGHTED_FLOOR 0.1f

typedef struct tody_suppression {
    float iou;          // boxes that overlap the surest one by more show the same object
    float score;        // of an object: of its surest box
    uint32_t weighted;  // 1: TODY_NMS_WEIGHTED
    uint32_t agnostic;  // 1: across labels, 0: within a label
    uint32_t limit;     // most objects
} tody_suppression;

// Sort by score (then anchor, then label) and leave one box for each object, with the score, label and anchor of its surest
// one. Weighted, its corners and points are means, as MediaPipe has them ("BlazeFace", Bazarevsky and others, 2019), but each
// box weighs by how far its score exceeds TODY_WEIGHTED_FLOOR, and less the nearer its overlap is to `iou`: so no box weighs
// anything where it begins to count, and a little noise moves the mean but a little. Moves the objects' boxes and points to the
// front and returns their number.
uint32_t tody_nms(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t count, const tody_suppression *how);

// From model to frame coordinates; boxes are clipped to the frame, points are not.
void tody_boxes_to_frame(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t count, const tody_placement *at,
                         uint32_t width, uint32_t height);

#endif
