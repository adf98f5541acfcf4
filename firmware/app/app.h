// app.h - the life of a model on a board: chosen by the store, run by the runtime, asked for by the link.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_APP_H
#define TODY_APP_H

#include "board.h"
#include "core/kernels.h"
#include "link/link.h"
#include "store/store.h"
#include "tody.h"

typedef struct tody_app {
    const tody_board *board;
    tody_kernels kernels;
    tody_store store;
    tody_model model;
    bool loaded;  // `model` is bound
    tody_link_app link;
} tody_app;

// Load the model that the store chooses, or the one before it if the runtime does not open that.
void tody_app_start(tody_app *app, const tody_board *board);

// Open and bind the file in a slot; the model that was loaded stays if that fails. 256 - status: see TODY_RC_MODEL.
tody_rc tody_app_load(tody_app *app, uint32_t slot);

// Fill app->link, what the link asks of the app: app/link.c
void tody_app_link(tody_app *app);

#endif
