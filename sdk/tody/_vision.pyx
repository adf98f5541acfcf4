"""The binding of runtime/vision: preprocessing, decoders, non-maximum suppression. Contract: _vision.pyi."""

# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc

from .errors import ModelError, UsageError


cdef extern from "tody.h" nogil:
    enum: TODY_F32, TODY_S8, TODY_U8

cdef extern from "vision/vision.h" nogil:
    enum: TODY_MAX_POINTS, TODY_MAX_STRIDES
    enum: TODY_DECODE_SIGMOID, TODY_DECODE_SOFTMAX, TODY_DECODE_BACKGROUND, TODY_DECODE_NORMALIZED, TODY_DECODE_CORNER
    enum: TODY_DECODE_Y_FIRST, TODY_DECODE_MULTILABEL
    ctypedef enum tody_pixels:
        TODY_BGR, TODY_RGB, TODY_GRAY, TODY_BGRA, TODY_RGBA
    ctypedef enum tody_fit:
        TODY_STRETCH, TODY_LETTERBOX, TODY_CROP, TODY_TOP_LEFT
    ctypedef struct tody_frame:
        const uint8_t *data
        uint32_t width, height
        size_t row_bytes
        tody_pixels pixels
    ctypedef struct tody_preprocess:
        uint32_t width, height
        tody_fit fit
        tody_pixels pixels
        uint8_t pad[3]
        float mean[3]
        float scale[3]
        uint32_t planar, dtype
        float quant_scale
        int32_t zero_point
    ctypedef struct tody_placement:
        float scale_x, scale_y, offset_x, offset_y
    ctypedef struct tody_box:
        float x0
    ctypedef struct tody_decoder_input:
        const float *data
        uint32_t rank
        uint32_t shape[6]
    ctypedef struct tody_decoder_params:
        uint32_t width, height, classes, points, stride_count
        uint32_t strides[8]
        uint32_t bins
        const float *anchors
        uint32_t anchor_count, anchor_columns
        float variance[4]
        uint32_t flags
        float score
    ctypedef enum tody_nms_kind:
        TODY_NMS_NONE
        TODY_NMS_WEIGHTED
    float TODY_WEIGHTED_FLOOR
    ctypedef struct tody_suppression:
        float iou, score
        uint32_t weighted, agnostic, limit
    ctypedef struct tody_decoder:
        const char *name
        const char *(*check)(const tody_decoder_params *p, const tody_decoder_input *in_, uint32_t in_count) nogil
        uint32_t (*run)(const tody_decoder_params *p, const tody_decoder_input *in_, uint32_t in_count, tody_box *boxes,
                        float *points, uint32_t capacity) nogil
        tody_nms_kind nms
    const tody_decoder *const tody_decoders[]
    const tody_decoder *tody_decoder_find(const char *name)
    const char *tody_preprocess_check(const tody_preprocess *p, const tody_frame *frame)
    size_t tody_preprocess_scratch(const tody_preprocess *p)
    tody_placement tody_preprocess_run(const tody_preprocess *p, const tody_frame *frame, void *tensor, void *scratch)
    uint32_t tody_nms(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t count,
                      const tody_suppression *how)
    void tody_boxes_to_frame(tody_box *boxes, float *points, uint32_t points_per_box, uint32_t count, const tody_placement *at,
                             uint32_t width, uint32_t height)


WEIGHTED_FLOOR = TODY_WEIGHTED_FLOOR
_PIXELS = {"bgr": TODY_BGR, "rgb": TODY_RGB, "gray": TODY_GRAY, "bgra": TODY_BGRA, "rgba": TODY_RGBA}
_FITS = {"stretch": TODY_STRETCH, "letterbox": TODY_LETTERBOX, "crop": TODY_CROP, "top_left": TODY_TOP_LEFT}
_DTYPES = {"float32": TODY_F32, "uint8": TODY_U8, "int8": TODY_S8}
_FORMATS = {"float32": b"f", "uint8": b"B", "int8": b"b"}
_FLAGS = {"sigmoid": TODY_DECODE_SIGMOID, "softmax": TODY_DECODE_SOFTMAX, "background": TODY_DECODE_BACKGROUND,
          "normalized": TODY_DECODE_NORMALIZED, "corner": TODY_DECODE_CORNER, "y_first": TODY_DECODE_Y_FIRST}


cdef class _View:
    """A buffer, released when the view goes."""

    cdef Py_buffer raw
    cdef bint held

    def __cinit__(self, source, int flags, bytes format):
        PyObject_GetBuffer(source, &self.raw, flags | PyBUF_FORMAT)
        self.held = True
        if format is not None and (self.raw.format is NULL or <bytes>self.raw.format not in (format, b"<" + format)):
            raise UsageError("an array has the wrong dtype", f"it must be of format {format.decode()}")

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.raw)


cdef class Preprocess:
    """From frames to one model's input tensor."""

    cdef tody_preprocess p
    cdef readonly int channels
    cdef readonly str dtype

    def __init__(self, *, width, height, fit, pixels, pad, mean, scale, planar, dtype="float32", quant_scale=1.0, zero_point=0):
        try:
            self.p.width, self.p.height, self.p.planar = width, height, bool(planar)
            self.p.fit, self.p.pixels, self.p.dtype = _FITS[fit], _PIXELS[pixels], _DTYPES[dtype]
            for c in range(3):
                self.p.pad[c], self.p.mean[c], self.p.scale[c] = pad[c], mean[c], scale[c]
            self.p.quant_scale, self.p.zero_point = quant_scale, zero_point
        except (OverflowError, KeyError, IndexError, TypeError, ValueError) as e:
            raise ModelError("the model's preprocessing cannot be used", f"{type(e).__name__}: {e}") from e
        cdef const char *fault = tody_preprocess_check(&self.p, NULL)
        if fault is not NULL:
            raise ModelError("the model's preprocessing cannot be used", fault.decode())
        self.channels = 1 if self.p.pixels == TODY_GRAY else 3
        self.dtype = dtype

    def run(self, frame, pixels, out):
        cdef _View source = _View(frame, PyBUF_STRIDES, b"B")
        cdef _View target = _View(out, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE, _FORMATS[self.dtype])
        cdef tody_frame f = _frame(source, _PIXELS[pixels])
        cdef const char *fault = tody_preprocess_check(&self.p, &f)
        if fault is not NULL:
            raise UsageError("this frame cannot be used", fault.decode())
        if target.raw.len // target.raw.itemsize != <Py_ssize_t>self.p.width * self.p.height * self.channels:
            raise UsageError("the model's input has another size than its preprocessing")
        cdef void *scratch = malloc(tody_preprocess_scratch(&self.p))
        if scratch is NULL:
            raise MemoryError
        cdef tody_placement at
        with nogil:
            at = tody_preprocess_run(&self.p, &f, target.raw.buf, scratch)
            free(scratch)
        return at.scale_x, at.scale_y, at.offset_x, at.offset_y


cdef tody_frame _frame(_View view, tody_pixels pixels) except *:
    """The frame in an array [h, w] or [h, w, channels] whose rows are contiguous."""
    cdef tody_frame f
    cdef Py_ssize_t channels = 1 if view.raw.ndim == 2 else view.raw.shape[2] if view.raw.ndim == 3 else 0
    cdef Py_ssize_t wanted = 1 if pixels == TODY_GRAY else 4 if pixels in (TODY_BGRA, TODY_RGBA) else 3
    if channels != wanted:
        raise UsageError(f"a frame has {channels} channels", f"its pixels are said to have {wanted}")
    if not (0 < view.raw.shape[0] < 65536 and 0 < view.raw.shape[1] < 65536):
        raise UsageError("this frame cannot be used", "its sides must be from 1 to 65535")
    if view.raw.strides[1] != channels or (view.raw.ndim == 3 and view.raw.strides[2] != 1) or view.raw.strides[0] < 0:
        raise UsageError("this frame cannot be used", "the pixels of a row must be contiguous", "numpy.ascontiguousarray(frame)")
    f.data, f.row_bytes, f.pixels = <const uint8_t *>view.raw.buf, <size_t>view.raw.strides[0], pixels
    f.height, f.width = <uint32_t>view.raw.shape[0], <uint32_t>view.raw.shape[1]
    return f


cdef class Decoder:
    """One of the decoders of runtime/vision with its parameters."""

    cdef const tody_decoder *decoder
    cdef tody_decoder_params p
    cdef _View anchors
    cdef readonly str name
    cdef readonly int points
    cdef readonly bint needs_nms, weighted

    def __init__(self, name, *, width, height, classes, points=0, strides=(), bins=0, anchors=None, variance=(0.0, 0.0, 0.0, 0.0),
                 flags=()):
        self.decoder = tody_decoder_find(<bytes>name.encode())
        if self.decoder is NULL:
            raise ModelError(f"there is no decoder {name!r}", "known are " + ", ".join(decoders()))
        try:
            self.p.width, self.p.height, self.p.classes, self.p.points, self.p.bins = width, height, classes, points, bins
            self.p.stride_count = <uint32_t>min(len(strides), TODY_MAX_STRIDES + 1)
            for i, stride in enumerate(strides[:TODY_MAX_STRIDES]):
                self.p.strides[i] = stride
            for i in range(4):
                self.p.variance[i] = variance[i]
            for flag in flags:
                self.p.flags |= <uint32_t>_FLAGS[flag]
        except (OverflowError, KeyError, IndexError, TypeError, ValueError) as e:
            raise ModelError(f"the parameters of the decoder {name} cannot be used", f"{type(e).__name__}: {e}") from e
        self.name, self.points = name, self.p.points
        self.needs_nms, self.weighted = self.decoder.nms != TODY_NMS_NONE, self.decoder.nms == TODY_NMS_WEIGHTED
        if anchors is not None:
            self._set_anchors(anchors)

    cdef _set_anchors(self, anchors):
        self.anchors = _View(anchors, PyBUF_C_CONTIGUOUS, b"f")
        if self.anchors.raw.ndim != 2 or self.anchors.raw.shape[0] > 0x7FFFFFFF or self.anchors.raw.shape[1] > 4:
            raise ModelError(f"the parameters of the decoder {self.name} cannot be used", "anchors must be rows of 2 or 4 numbers")
        self.p.anchors = <const float *>self.anchors.raw.buf
        self.p.anchor_count, self.p.anchor_columns = <uint32_t>self.anchors.raw.shape[0], <uint32_t>self.anchors.raw.shape[1]

    def run(self, outputs, score, boxes, points=None, multilabel=False):
        cdef tody_decoder_input tensors[32]
        cdef tody_decoder_params p = self.p
        cdef list views = [_View(o, PyBUF_C_CONTIGUOUS, b"f") for o in outputs]
        if len(views) > 32:
            raise ModelError("a decoder takes at most 32 outputs")
        for i, view in enumerate(views):
            _describe(<_View>view, &tensors[i])
        p.score = score
        p.flags |= <uint32_t>(TODY_DECODE_MULTILABEL if multilabel else 0)
        cdef uint32_t in_count = <uint32_t>len(views), count, capacity
        cdef const char *fault = self.decoder.check(&p, tensors, in_count)
        if fault is not NULL:
            raise ModelError(f"the decoder {self.name} does not fit this model", fault.decode(), _SHAPES % _shapes(views))
        cdef _View found = _boxes(boxes)
        capacity = <uint32_t>(found.raw.len // <Py_ssize_t>sizeof(tody_box))
        cdef _View marks = _points(points, p.points, capacity)
        cdef float *at = <float *>marks.raw.buf if marks is not None else NULL
        with nogil:
            count = self.decoder.run(&p, tensors, in_count, <tody_box *>found.raw.buf, at, capacity)
        return count


_SHAPES = "the model's outputs are %s; runtime/vision/decoders.c lists what each decoder takes"


def _shapes(views):
    return ", ".join("x".join(str((<_View>v).raw.shape[i]) for i in range((<_View>v).raw.ndim)) for v in views)


cdef int _describe(_View view, tody_decoder_input *tensor) except -1:
    if view.raw.ndim > 6:
        raise ModelError("an output has more than 6 dimensions")
    tensor.data, tensor.rank = <const float *>view.raw.buf, <uint32_t>view.raw.ndim
    for k in range(view.raw.ndim):
        if view.raw.shape[k] > 0x7FFFFFFF:
            raise ModelError("an output is too large")
        tensor.shape[k] = <uint32_t>view.raw.shape[k]
    return 0


cdef _View _boxes(boxes):
    cdef _View view = _View(boxes, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE, None)
    if view.raw.itemsize != <Py_ssize_t>sizeof(tody_box) or view.raw.len // view.raw.itemsize > 0x7FFFFFFF:
        raise UsageError("boxes must be an array of tody.run.detections.BOX")
    return view


cdef _View _points(points, uint32_t per_box, Py_ssize_t boxes):
    """The points of so many boxes, or None where there are none."""
    if per_box == 0:
        return None
    cdef _View view = _View(points, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE, b"f")
    if view.raw.len < boxes * <Py_ssize_t>(2 * per_box * sizeof(float)):
        raise UsageError("points must have room for those of every box")
    return view


cdef uint32_t _checked(count, _View boxes) except? 0xFFFFFFFF:
    if not 0 <= count <= boxes.raw.len // boxes.raw.itemsize:
        raise UsageError(f"there are no {count} boxes")
    return count


cdef uint32_t _per_box(points) except? 0xFFFFFFFF:
    if points is None:
        return 0
    if len(points.shape) != 3 or points.shape[2] != 2 or not 0 < points.shape[1] <= TODY_MAX_POINTS:
        raise UsageError("points must be an array [n, p, 2]")
    return points.shape[1]


def nms(boxes, points, count, iou, score=0.0, weighted=False, agnostic=False, limit=100):
    cdef _View found = _boxes(boxes)
    cdef uint32_t n = _checked(count, found), per_box = _per_box(points), kept
    cdef _View marks = _points(points, per_box, n)
    cdef float *at = <float *>marks.raw.buf if marks is not None else NULL
    cdef tody_suppression how
    how.iou, how.score, how.weighted, how.agnostic, how.limit = iou, score, bool(weighted), bool(agnostic), limit
    with nogil:
        kept = tody_nms(<tody_box *>found.raw.buf, at, per_box, n, &how)
    return kept


def to_frame(boxes, points, count, placement, size):
    cdef _View found = _boxes(boxes)
    cdef uint32_t n = _checked(count, found), per_box = _per_box(points)
    cdef _View marks = _points(points, per_box, n)
    cdef float *at = <float *>marks.raw.buf if marks is not None else NULL
    cdef tody_placement where
    where.scale_x, where.scale_y, where.offset_x, where.offset_y = placement
    tody_boxes_to_frame(<tody_box *>found.raw.buf, at, per_box, n, &where, size[0], size[1])


def decoders():
    """Names of the decoders of this build."""
    cdef uint32_t i = 0
    cdef list names = []
    while tody_decoders[i] is not NULL:
        names.append(tody_decoders[i].name.decode())
        i += 1
    return names
