// status.c - status codes in words, sizes of element types.
// SPDX-License-Identifier: Apache-2.0
#include "tody.h"

const char *tody_status_text(tody_status status) {
    switch (status) {
        case TODY_OK: return "everything is in order";
        case TODY_ERR_TRUNCATED: return "the file is shorter than its header says";
        case TODY_ERR_MAGIC: return "this is not a .tody file";
        case TODY_ERR_VERSION: return "the file has a format version that this runtime does not know";
        case TODY_ERR_HEADER: return "a field of the header is out of bounds";
        case TODY_ERR_CHECKSUM: return "the checksum does not match, the file is damaged";
        case TODY_ERR_TENSOR: return "a tensor record is unsound";
        case TODY_ERR_OP: return "this runtime lacks an operator of the model";
        case TODY_ERR_OP_RECORD: return "an operator record is unsound";
        case TODY_ERR_SHAPE: return "a tensor does not fit its operator";
        case TODY_ERR_PARAM: return "a parameter of an operator is out of range";
        case TODY_ERR_DTYPE: return "an operator is not defined for the element type it is given";
        case TODY_ERR_ALIGN: return "the file or memory is not aligned";
        case TODY_ERR_MEMORY: return "the memory is smaller than the model needs";
        case TODY_ERR_ARGUMENT: return "an argument is out of range";
        case TODY_ERR_CODED: return "the file is coded and must be unpacked first";
        case TODY_ERR_BLOCK: return "a block of the coded file is unsound";
    }
    return "an unknown status";
}

size_t tody_dtype_bytes(tody_dtype dtype) {
    switch (dtype) {
        case TODY_S8:
        case TODY_U8:
        case TODY_BOOL: return 1;
        case TODY_F16:
        case TODY_BF16:
        case TODY_S16: return 2;
        case TODY_F32:
        case TODY_S32: return 4;
        case TODY_S64: return 8;
    }
    return 0;
}
