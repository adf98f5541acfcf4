// nor.h - flash made of memory that keeps to the rules of NOR flash: what is not erased cannot be programmed.
// SPDX-License-Identifier: Apache-2.0
//
// For boards of QEMU, whose memory may be backed by a file, and for the host. Words of 4 bytes are stored one after the other.
#ifndef TODY_NOR_H
#define TODY_NOR_H

#include "store/flash.h"

// `self` of each function is a tody_flash's memory: `size` bytes, 4-byte aligned.
#define NOR_ERASE_BYTES 4096u
#define NOR_WRITE_BYTES 4u

bool nor_read(void *memory, uint32_t at, void *to, uint32_t bytes);
bool nor_erase(void *memory, uint32_t at);
bool nor_program(void *memory, uint32_t at, const uint8_t *data, uint32_t bytes);

#endif
