"""The binding: one class around `tody_model`, one around a tensor. Contract: _runtime.pyi."""

# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_SIMPLE, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from .errors import ModelError, UsageError


__version__ = TODY_VERSION.decode()

# tody_dtype -> name and struct-module format, which NumPy reads
_DTYPES = {1: ("float32", b"f"), 2: ("int8", b"b"), 3: ("uint8", b"B"), 4: ("int32", b"i"), 5: ("bool", b"?"), 6: ("int64", b"q"),
           7: ("float16", b"e"), 8: ("int16", b"h")}
_FEATURES = {"avx2": TODY_CPU_AVX2, "avx512": TODY_CPU_AVX512, "neon": TODY_CPU_NEON, "neon-dot": TODY_CPU_NEON_DOT,
             "neon-fp16": TODY_CPU_NEON_FP16, "neon-i8mm": TODY_CPU_NEON_I8MM}


cdef class _Block:
    """Zeroed memory, aligned for the runtime."""

    cdef void *data
    cdef size_t bytes

    def __cinit__(self, size_t bytes):
        self.data = tody_memory_new(bytes)
        if self.data is NULL:
            raise MemoryError(f"no memory for {bytes:,} bytes of a model")
        self.bytes = bytes

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.data, <Py_ssize_t>self.bytes, 1, flags)

    def __dealloc__(self):
        tody_memory_free(self.data, self.bytes)


cdef class _Shared:
    """What a model and its clones have in common: file, kernels and threads."""

    cdef Py_buffer view
    cdef bint viewed
    cdef _Block copy  # of a file that is not aligned
    cdef const void *file
    cdef size_t file_bytes
    cdef tody_kernels kernels
    cdef tody_pool *pool
    cdef tody_parallel parallel
    cdef tody_setup setup
    cdef _Block prepared  # weights as operators like them

    def __cinit__(self, file, uint32_t threads, kernels, bint prepare, bint f16):
        cdef bytes limit = _kernel_set(kernels)
        PyObject_GetBuffer(file, &self.view, PyBUF_SIMPLE)
        self.viewed = True
        self.file, self.file_bytes = self.view.buf, <size_t>self.view.len
        if <uintptr_t>self.file % TODY_FILE_ALIGN:
            self.copy = _Block(self.file_bytes)
            memcpy(self.copy.data, self.file, self.file_bytes)
            self.file = self.copy.data
        self.kernels = tody_kernels_pick(tody_cpu_features(), <const char *>limit if limit is not None else NULL)
        self.setup.kernels = &self.kernels
        self.setup.prepare = prepare
        self.setup.f16 = f16 and prepare and self.kernels.f16 is not NULL
        if threads > 1:
            self.pool = tody_pool_new(threads)
            if self.pool is NULL:
                raise MemoryError(f"the system gives no pool of {threads} threads")
            self.parallel = tody_pool_parallel(self.pool)
            self.setup.parallel = &self.parallel

    def __dealloc__(self):
        if self.pool is not NULL:
            tody_pool_free(self.pool)
        if self.viewed:
            PyBuffer_Release(&self.view)


cdef class Tensor:
    """A view of a tensor's memory."""

    cdef _Block block     # the arena the data lies in
    cdef _Shared shared   # the file, for an output that is a constant
    cdef void *data
    cdef bint readonly, slice  # slice: rows do not follow each other
    cdef int rank
    cdef Py_ssize_t itemsize, bytes
    cdef Py_ssize_t dims[6]
    cdef Py_ssize_t strides[6]
    cdef bytes format
    cdef readonly tuple shape
    cdef readonly str dtype
    cdef readonly tuple quant  # scale and zero point of an int8 tensor that has one scale, else None

    def __init__(self):
        raise TypeError("tensors come from a Runtime")

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if flags & PyBUF_WRITABLE and self.readonly:
            raise BufferError("this output is a constant of the model")
        if self.data is NULL:
            raise BufferError("this value is made by strips, and never exists whole")
        if self.slice and flags & PyBUF_STRIDES != PyBUF_STRIDES:
            raise BufferError("this value is a slice of another one")
        buffer.buf = self.data
        buffer.obj = self
        buffer.len = self.bytes
        buffer.itemsize = self.itemsize
        buffer.readonly = self.readonly
        buffer.ndim = self.rank
        buffer.format = <char *>self.format if flags & PyBUF_FORMAT else NULL
        buffer.shape = self.dims
        buffer.strides = self.strides
        buffer.suboffsets = NULL
        buffer.internal = NULL

    def __repr__(self):
        return f"Tensor({self.dtype}, {self.shape})"


cdef Tensor _tensor(tody_tensor raw, _Block block, _Shared shared):
    cdef Tensor self = Tensor.__new__(Tensor)
    cdef Py_ssize_t stride
    cdef int i
    self.block, self.shared, self.data, self.rank = block, shared, raw.data, <int>raw.rank
    self.readonly = not (<uintptr_t>block.data <= <uintptr_t>raw.data < <uintptr_t>block.data + block.bytes)
    self.itemsize = <Py_ssize_t>tody_dtype_bytes(raw.dtype)
    self.dtype, self.format = _DTYPES[<int>raw.dtype]
    self.quant = (raw.scales[0], raw.zero_point) if raw.scale_count == 1 else None
    self.shape = tuple([raw.shape[i] for i in range(self.rank)])
    self.bytes = <Py_ssize_t>raw.count * self.itemsize
    self.slice = self.rank > 0 and raw.pitch != raw.shape[self.rank - 1]
    stride = self.itemsize
    for i in range(self.rank - 1, -1, -1):
        self.dims[i] = raw.shape[i]
        self.strides[i] = stride
        stride *= raw.pitch if i == self.rank - 1 else self.dims[i]
    return self


cdef class Runtime:
    """An opened and bound model with its own arena."""

    cdef tody_model model
    cdef _Shared shared
    cdef _Block arena, scratch
    cdef bint busy
    cdef readonly tuple inputs, outputs, op_names

    def __init__(self, file, threads=1, kernels=None, verify=False, prepare=True, f16=False):
        if not 1 <= threads <= 256:
            raise UsageError(f"threads is {threads}", "it must be between 1 and 256")
        self.shared = _Shared(file, threads, kernels, prepare, f16)
        cdef tody_status status = tody_open(&self.model, self.shared.file, self.shared.file_bytes, &self.shared.setup)
        if status == TODY_OK and verify:
            with nogil:
                status = tody_check_weights(&self.model)
        if status != TODY_OK:
            raise _refusal(status, self.model.fault, file)
        self._prepare()
        self._bind()

    cdef _prepare(self):
        cdef _Block memory = _Block(self.model.need.prepared_bytes)
        with nogil:
            tody_prepare(&self.model, memory.data, memory.bytes)  # cannot fail: it has what it needs
        self.shared.prepared = memory

    cdef _bind(self):
        cdef uint32_t i
        self.arena, self.scratch = _Block(self.model.need.arena_bytes), _Block(self.model.need.scratch_bytes)
        cdef tody_status status = tody_bind(&self.model, self.arena.data, self.arena.bytes, self.scratch.data, self.scratch.bytes)
        if status != TODY_OK:
            raise _refusal(status, self.model.fault, None)
        self.inputs = tuple([_tensor(tody_input(&self.model, i), self.arena, self.shared) for i in range(self.model.input_count)])
        self.outputs = tuple([_tensor(tody_output(&self.model, i), self.arena, self.shared) for i in range(self.model.output_count)])
        self.op_names = tuple([tody_op_name(&self.model, i).decode() for i in range(self.model.op_count)])

    cdef int _begin(self) except -1:
        if self.busy:
            raise UsageError("this model is running in another thread", "a model runs in one thread at a time",
                             "give each thread its own model.clone()")
        self.busy = True
        return 0

    def run(self):
        """Run the model on what its inputs hold. Raises UsageError while another thread runs it."""
        self._begin()
        with nogil:
            tody_run(&self.model)
        self.busy = False

    def profile(self):
        """Run once, and return the nanoseconds that each operator took."""
        cdef timespec before, after
        cdef uint32_t i
        cdef list times = []
        self._begin()
        try:
            for i in range(self.model.op_count):
                clock_gettime(CLOCK_MONOTONIC, &before)
                with nogil:
                    tody_step(&self.model, i)
                clock_gettime(CLOCK_MONOTONIC, &after)
                times.append((<int64_t>after.tv_sec - before.tv_sec) * 1000000000 + (after.tv_nsec - before.tv_nsec))
        finally:
            self.busy = False
        return times

    def peak(self, dtype):
        """Multiply-adds per second that its kernels reach at most in float32, float16 or int8, on all its threads."""
        cdef tody_dtype which = TODY_S8 if dtype == "int8" else TODY_F16 if dtype == "float16" else TODY_F32
        cdef double products
        with nogil:
            products = tody_peak(&self.shared.kernels, which)
        return products * self.threads

    def step(self, uint32_t index):
        """Run operator `index` alone; all before it must have run."""
        if index >= self.model.op_count:
            raise IndexError(index)
        self._begin()
        with nogil:
            tody_step(&self.model, index)
        self.busy = False

    def op_output(self, uint32_t index):
        """First output of operator `index`; its content is that operator's only right after step(index)."""
        if index >= self.model.op_count:
            raise IndexError(index)
        return _tensor(tody_op_output(&self.model, index), self.arena, self.shared)

    def clone(self):
        """A model with its own activations that shares file, kernels and threads."""
        cdef Runtime other = Runtime.__new__(Runtime)
        other.model, other.shared = self.model, self.shared
        other._bind()
        return other

    @property
    def kernels(self):
        return self.shared.kernels.name.decode()

    @property
    def f16(self):
        return bool(self.shared.setup.f16)

    @property
    def threads(self):
        return max(1, self.shared.parallel.threads)

    @property
    def arena_bytes(self):
        return self.model.need.arena_bytes

    @property
    def scratch_bytes(self):
        return self.model.need.scratch_bytes

    @property
    def prepared_bytes(self):
        return self.model.need.prepared_bytes


def need(file, pointer_bytes):
    """Bytes of arena and of scratch on a machine with pointers of 4 or 8 bytes, one thread and the portable kernels."""
    if pointer_bytes not in (4, 8):
        raise UsageError(f"pointer_bytes is {pointer_bytes}", "pointers have 4 or 8 bytes")
    cdef _Shared shared = _Shared(file, 1, "portable", False, False)
    cdef tody_model model
    shared.setup.pointer_bytes = pointer_bytes
    cdef tody_status status = tody_open(&model, shared.file, shared.file_bytes, &shared.setup)
    if status != TODY_OK:
        raise _refusal(status, model.fault, file)
    return model.need.arena_bytes, model.need.scratch_bytes


cdef object _refusal(tody_status status, uint32_t fault, file):
    """The error for a file that the runtime refused."""
    what = tody_status_text(status).decode()
    if status == TODY_ERR_TENSOR:
        what += f" (tensor {fault})"
    elif status in (TODY_ERR_OP, TODY_ERR_OP_RECORD, TODY_ERR_SHAPE, TODY_ERR_PARAM, TODY_ERR_DTYPE):
        what += f" (operator {fault}{_operator(file, fault)})"
    hint = "copy the file again" if status in (TODY_ERR_TRUNCATED, TODY_ERR_CHECKSUM) else "convert the model again with this tody"
    if status in (TODY_ERR_OP, TODY_ERR_VERSION):
        hint = "update tody on this machine"
    return ModelError("the model cannot be used", what, hint)


def _operator(file, index):
    """", conv" for the operator of that index in a file that may be damaged, else ""."""
    from . import format

    try:
        return ", " + format.read(file).records[index].op
    except (ModelError, IndexError):
        return ""


def _kernel_set(name):
    """The name as C text, or None.

    Raises:
        UsageError: this build has no such set, or this CPU cannot run it.
    """
    if name is None:
        return None
    cdef uint32_t i = 0
    while tody_kernel_sets[i] is not NULL:
        if tody_kernel_sets[i].name == <bytes>name.encode() and not tody_kernel_sets[i].needs & ~tody_cpu_features():
            return name.encode()
        i += 1
    raise UsageError(f"there is no kernel set {name!r} on this machine", "this build and CPU have " + ", ".join(kernel_sets()))


def kernel_sets():
    """Names of the kernel sets that this build has and this CPU can run, best last."""
    cdef uint32_t i = 0
    cdef list names = []
    while tody_kernel_sets[i] is not NULL:
        if not tody_kernel_sets[i].needs & ~tody_cpu_features():
            names.append(tody_kernel_sets[i].name.decode())
        i += 1
    return names


def cpu_features():
    """What this CPU has of what the kernel sets know: avx2, avx512, neon, .."""
    return [name for name, bit in _FEATURES.items() if tody_cpu_features() & <uint32_t>bit]


def unpack(file):
    """The plain file of a coded one, read-only."""
    cdef Py_buffer view
    cdef size_t plain_bytes = 0
    cdef tody_unpack *work = NULL
    cdef tody_status status
    PyObject_GetBuffer(file, &view, PyBUF_SIMPLE)
    try:
        status = tody_plain_bytes(view.buf, <size_t>view.len, &plain_bytes)
        if status != TODY_OK:
            raise _refusal(status, 0, file)
        plain = _Block(plain_bytes)
        work = <tody_unpack *>malloc(sizeof(tody_unpack))
        if work is NULL:
            raise MemoryError("no memory to unpack a file")
        with nogil:
            status = tody_unpack_file(work, view.buf, <size_t>view.len, (<_Block>plain).data, plain_bytes)
        if status != TODY_OK:
            raise _refusal(status, 0, file)
        return memoryview(plain)
    finally:
        free(work)
        PyBuffer_Release(&view)


def rans_encode(bytes symbols, bytes states, bytes frequencies):
    """Four states (u32), then words (u16): what a decoder with these tables turns into the symbols."""
    cdef const uint8_t *s = <const uint8_t *>PyBytes_AsString(symbols)
    cdef const uint8_t *which = <const uint8_t *>PyBytes_AsString(states)
    cdef const uint16_t *frequency = <const uint16_t *><const void *>PyBytes_AsString(frequencies)
    cdef size_t i = len(symbols), at
    cdef uint32_t x[4]
    cdef uint32_t start[4][256]
    cdef uint32_t t, k, f
    cdef uint16_t *words
    if len(states) != len(symbols) or len(frequencies) != sizeof(uint16_t) * 4 * 256:
        raise ValueError("a state for each symbol, and four tables of 256")
    words = <uint16_t *>malloc(2 * i + 2)
    if words is NULL:
        raise MemoryError("no memory to code a block")
    for t in range(4):
        x[t], f = 65536, 0
        for k in range(256):
            start[t][k] = f
            f += frequency[256 * t + k]
    at = i
    with nogil:
        while i > 0:
            i -= 1
            t = which[i] & 3
            f = frequency[256 * t + s[i]]
            if f == 0:
                break
            if x[t] >> 20 >= f:  # else it would leave 32 bits
                at -= 1
                words[at] = <uint16_t>x[t]
                x[t] >>= 16
            x[t] = (x[t] // f << 12) + x[t] % f + start[t][s[i]]
    try:
        if f == 0 and len(symbols):
            raise ValueError("a symbol has no share")
        head = PyBytes_FromStringAndSize(<const char *>x, sizeof(x))
        return head + PyBytes_FromStringAndSize(<const char *>(words + at), 2 * (len(symbols) - <Py_ssize_t>at))
    finally:
        free(words)
