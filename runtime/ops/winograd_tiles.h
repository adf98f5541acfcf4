// winograd_tiles.h - how an output is cut into the tiles of Winograd's way, and these into blocks that stay in a cache.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_WINOGRAD_TILES_H
#define TODY_OPS_WINOGRAD_TILES_H

#include "winograd.h"

enum {
    TODY_WINOGRAD_SKEW = TODY_PANEL,  // elements between positions, so that these do not all fall into the same sets of a cache
    TODY_FLEETING_SLICE = 128,        // of depth whose fleeting weights are transformed together; sets give the same bits
    TODY_TILE_REGIONS = 4,
};

// Tiles that lie alike, a rectangle of each image: whole ones, or those that reach out of it at the bottom, the right, or both.
typedef struct tody_tile_region {
    uint32_t first;         // number of its first tile
    uint32_t down, across;  // tiles of an image
    uint32_t y, x;          // outputs before it
} tody_tile_region;

// Tiles are numbered by regions, in such an order that those which need any one position are neighbours.
typedef struct tody_tiles {
    uint32_t tile, edge, positions;  // positions: products of a tile, a channel and a phase
    uint32_t height, width;          // of an output
    uint32_t spared[2];              // points that tiles at the bottom, and at the right, do without: infinity, then 0
    uint32_t images, count;          // of the batch, and tiles of all of it
    tody_tile_region regions[TODY_TILE_REGIONS];
    uint32_t blocks, block;       // the most tiles of one
    uint32_t panels;              // of output channels that are multiplied together
    uint32_t parts;               // of all panels: tasks of a block
    uint32_t phase_depth, depth;  // values that a phase of a transformed row takes, and all of it
    size_t v_stride, m_stride;    // from one position to the next, in elements: transformed image, products,
    size_t u_stride;              // fleeting weights; 0: they are prepared
} tody_tiles;

// Of the weights w and the result y.
tody_tiles tody_tiles_of(const tody_call *call, const tody_tensor *w, const tody_tensor *y, tody_tiling tiling);

// Scratch of a thread. In 64 bits, since a record may ask for more tiles than a pointer of 32 reaches.
uint64_t tody_tiles_bytes(const tody_tiles *g);

// One tile: where its first pixel inside of the output is, how many outputs come before that, and how many are inside.
typedef struct tody_tile_place {
    uint32_t image, y, x;
    uint32_t top, left;
    uint32_t rows, cols;
    uint32_t beside;  // tiles from this one on that are neighbours in a line
} tody_tile_place;

tody_tile_place tody_tile_at(const tody_tiles *g, uint32_t tile);

// Tiles, or rows, from `begin` to `end`.
typedef struct tody_span {
    uint32_t begin, end;
} tody_span;

// Those that need position (y, x).
tody_span tody_tiles_needing(const tody_tiles *g, uint32_t y, uint32_t x);

#endif
