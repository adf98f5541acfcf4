// flash.h - what the store knows of a flash memory: the part of it that holds the journal and the slots.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_FLASH_H
#define TODY_FLASH_H

#include <stdbool.h>
#include <stdint.h>

#define TODY_FLASH_PAGE 256u  // bytes that the store hands to `program` at most

// Offsets count from the first byte of the part that is ours. Erased bytes are 0xFF; programming turns ones into zeros, once
// between two erasures of a place. When a function returns true, what it did survives a power cut; a cut in the middle
// leaves any mixture in the bytes concerned, and in no others.
typedef struct tody_flash {
    uint32_t size;         // a multiple of erase_bytes, at least four times that
    uint32_t erase_bytes;  // a multiple of TODY_FLASH_PAGE
    uint32_t write_bytes;  // a power of two up to TODY_FLASH_PAGE
    void *self;            // handed to each function
    bool (*read)(void *self, uint32_t at, void *to, uint32_t bytes);
    bool (*erase)(void *self, uint32_t at);                                         // erase_bytes from a multiple of it
    bool (*program)(void *self, uint32_t at, const uint8_t *data, uint32_t bytes);  // multiples of write_bytes, in a page
} tody_flash;

#endif
