"""What of the C interface the binding calls: runtime/include/tody.h, core/kernels.h and ports/posix."""

# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport int32_t, uint32_t


cdef extern from "tody.h" nogil:
    const char *TODY_VERSION
    enum: TODY_FILE_ALIGN, TODY_MAX_RANK
    ctypedef enum tody_status:
        TODY_OK, TODY_ERR_TRUNCATED, TODY_ERR_VERSION, TODY_ERR_CHECKSUM, TODY_ERR_TENSOR, TODY_ERR_OP
        TODY_ERR_OP_RECORD, TODY_ERR_SHAPE, TODY_ERR_PARAM, TODY_ERR_DTYPE
    ctypedef enum tody_dtype:
        TODY_F32, TODY_S8, TODY_F16
    ctypedef struct tody_tensor:
        void *data
        const uint32_t *shape
        uint32_t rank
        uint32_t count
        tody_dtype dtype
        const float *scales
        uint32_t scale_count
        int32_t zero_point
        uint32_t pitch
    ctypedef struct tody_parallel:
        uint32_t threads
    ctypedef struct tody_kernels:
        const char *name
        uint32_t needs
        const void *f16
    ctypedef struct tody_setup:
        const tody_kernels *kernels
        const tody_parallel *parallel
        uint32_t pointer_bytes
        bint prepare
        bint f16
    ctypedef struct tody_need:
        size_t arena_bytes
        size_t scratch_bytes
        size_t prepared_bytes
    ctypedef struct tody_unpack:
        pass
    ctypedef struct tody_model:
        tody_need need
        uint32_t fault, input_count, output_count, op_count
    tody_status tody_open(tody_model *model, const void *file, size_t file_bytes, const tody_setup *setup)
    tody_status tody_check_weights(const tody_model *model)
    tody_status tody_bind(tody_model *model, void *arena, size_t arena_bytes, void *scratch, size_t scratch_bytes)
    tody_status tody_prepare(tody_model *model, void *memory, size_t bytes)
    void tody_run(tody_model *model)
    void tody_step(tody_model *model, uint32_t index)
    const char *tody_op_name(const tody_model *model, uint32_t index)
    tody_tensor tody_input(const tody_model *model, uint32_t index)
    tody_tensor tody_output(const tody_model *model, uint32_t index)
    tody_tensor tody_op_output(const tody_model *model, uint32_t index)
    tody_status tody_plain_bytes(const void *header, size_t header_bytes, size_t *plain_bytes)
    tody_status tody_unpack_file(tody_unpack *work, const void *file, size_t file_bytes, void *plain, size_t plain_bytes)
    const char *tody_status_text(tody_status status)
    size_t tody_dtype_bytes(tody_dtype dtype)

cdef extern from "core/kernels.h" nogil:
    const tody_kernels *const tody_kernel_sets[]
    tody_kernels tody_kernels_pick(uint32_t features, const char *limit)
    enum: TODY_CPU_AVX2, TODY_CPU_AVX512, TODY_CPU_NEON, TODY_CPU_NEON_DOT, TODY_CPU_NEON_FP16, TODY_CPU_NEON_I8MM

cdef extern from "posix.h" nogil:
    ctypedef struct tody_pool:
        pass
    tody_pool *tody_pool_new(uint32_t threads)
    void tody_pool_free(tody_pool *pool)
    void *tody_memory_new(size_t bytes)
    void tody_memory_free(void *memory, size_t bytes)
    tody_parallel tody_pool_parallel(tody_pool *pool)
    uint32_t tody_cpu_features()
    double tody_peak(const tody_kernels *kernels, tody_dtype dtype)
