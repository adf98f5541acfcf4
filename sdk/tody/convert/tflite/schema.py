"""What is read of TFLite's schema: tables by slot, operators by number, options by operator. Spelt as `FlatBuffer` wants it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

TABLES = {
    "Model": "version:u32 operator_codes:[OperatorCode] subgraphs:[SubGraph] description:string buffers:[Buffer]",
    "SubGraph": "tensors:[Tensor] inputs:[i32] outputs:[i32] operators:[Operator] name:string",
    "Tensor": "shape:[i32] type:i8 buffer:u32 name:string quantization:Quantization is_variable:bool sparsity:Sparsity "
    "shape_signature:[i32] - - external_buffer:u32",
    "Quantization": "- - scale:[f32] zero_point:[i64] details_type:u8 - quantized_dimension:i32",
    "Sparsity": "traversal_order:[i32] block_map:[i32] dim_metadata:[Level]",
    "Level": "format:i8 dense_size:i32 array_segments_type:u8 array_segments:place array_indices_type:u8 array_indices:place",
    "Operator": "opcode_index:u32 inputs:[i32] outputs:[i32] - options:place custom_options:[u8]",
    "OperatorCode": "deprecated_builtin_code:i8 custom_code:string version:i32=1 builtin_code:i32",
    "Buffer": "data:[u8] offset:u64 size:u64",
}

# Names of the dtypes by number, as NumPy has them where it has them.
DTYPES = (
    "float32 float16 int32 uint8 int64 string bool int16 complex64 int8 float64 complex128 uint64 resource variant "
    "uint32 uint16 int4 bfloat16 int2 uint4 float8_e4m3fn float8_e5m2"
).split()

OPERATORS = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM
MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND
TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT
LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL
LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW
ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV
REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS
SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG
ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM
BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG REAL COMPLEX_ABS
HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE
ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE
RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST
BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM
STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE
STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL
STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER
STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT
STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL
STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE
STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE
""".split()

_REDUCER = "keep_dims:bool"
_STEPS = "padding:i8 stride_w:i32 stride_h:i32"
_POOL = f"{_STEPS} filter_width:i32 filter_height:i32 activation:i8"
_ACTIVATED = "activation:i8"

# Operator -> the table of its options. Operators without options that matter are not here.
OPTIONS = {
    "ADD": _ACTIVATED,
    "AVERAGE_POOL_2D": _POOL,
    "BATCH_MATMUL": "adj_x:bool adj_y:bool",
    "CONCATENATION": "axis:i32 activation:i8",
    "CONV_2D": f"{_STEPS} activation:i8 dilation_w:i32=1 dilation_h:i32=1",
    "CUMSUM": "exclusive:bool reverse:bool",
    "DEPTHWISE_CONV_2D": f"{_STEPS} depth_multiplier:i32 activation:i8 dilation_w:i32=1 dilation_h:i32=1",
    "DEPTH_TO_SPACE": "block_size:i32",
    "DIV": _ACTIVATED,
    "FULLY_CONNECTED": "activation:i8 weights_format:i8 keep_num_dims:bool",
    "GATHER": "axis:i32 batch_dims:i32",
    "GELU": "approximate:bool",
    "L2_NORMALIZATION": _ACTIVATED,
    "L2_POOL_2D": _POOL,
    "LEAKY_RELU": "alpha:f32",
    "LOCAL_RESPONSE_NORMALIZATION": "radius:i32 bias:f32 alpha:f32 beta:f32",
    "MAX_POOL_2D": _POOL,
    "MEAN": _REDUCER,
    "MIRROR_PAD": "mode:i8",
    "MUL": _ACTIVATED,
    "ONE_HOT": "axis:i32",
    "PACK": "values_count:i32 axis:i32",
    "REDUCE_ALL": _REDUCER,
    "REDUCE_ANY": _REDUCER,
    "REDUCE_MAX": _REDUCER,
    "REDUCE_MIN": _REDUCER,
    "REDUCE_PROD": _REDUCER,
    "RESHAPE": "new_shape:[i32]",
    "RESIZE_BILINEAR": "- - align_corners:bool half_pixel_centers:bool",
    "RESIZE_NEAREST_NEIGHBOR": "align_corners:bool half_pixel_centers:bool",
    "REVERSE_SEQUENCE": "seq_dim:i32 batch_dim:i32",
    "SOFTMAX": "beta:f32",
    "SPACE_TO_DEPTH": "block_size:i32",
    "SPLIT": "num_splits:i32",
    "SPLIT_V": "num_splits:i32",
    "SQUEEZE": "squeeze_dims:[i32]",
    "STRIDED_SLICE": "begin_mask:i32 end_mask:i32 ellipsis_mask:i32 new_axis_mask:i32 shrink_axis_mask:i32 offset:bool",
    "SUB": _ACTIVATED,
    "SUM": _REDUCER,
    "TRANSPOSE_CONV": f"{_STEPS} activation:i8",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "activation:i8 cell_clip:f32 proj_clip:f32 time_major:bool - diagonal:bool",
    "UNPACK": "num:i32 axis:i32",
}
