// room.c - scratch for biases and multipliers of 16 bits is counted in 64 bits: in 32, that of hostile sizes would be small.
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "ops/layer.h"

int main(void) {
    const uint32_t in[] = {TODY_NONE, TODY_NONE, 0, TODY_NONE, 1};
    const tody_tensor_record records[] = {{.dtype = TODY_S16, .bytes = 0x80000040}, {.dtype = TODY_BF16, .bytes = 0xFFFFFFC0}};
    const tody_call call = {.in = in, .in_count = 5, .records = records};
    const uint64_t room = tody_channels_room(&call, 1), want = 0x300000000;
    printf("%llx, not %llx\n", (unsigned long long)room, (unsigned long long)want);
    return room != want;
}
