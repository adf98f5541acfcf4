// chain.c - which operators of a chain make rows for which others, and whether what they hand on has room.
// SPDX-License-Identifier: Apache-2.0
#include "chain.h"

enum {
    Y = 0,
    MAX_RATE = 1 << 16,
    MAX_LEAD = 1 << 30,
};

bool tody_goes_by_rows(const tody_chain *c, const tody_link *l, uint32_t i) {
    const tody_op *op = l->member.op;
    if (!(op->row_inputs >> i & 1) || i >= l->member.in_count || l->member.in[i] == TODY_NONE) return false;
    return (i == 0 && op->slides) || tody_link_input(c, l, i)->shape[TODY_HEIGHT] == tody_link_output(c, l)->shape[TODY_HEIGHT];
}

tody_reach tody_reach_of(const tody_link *l, uint32_t i) {
    if (i > 0 || !l->member.op->slides) return (tody_reach){1, 0, 1};
    const tody_window *w = l->member.params;
    return (tody_reach){w->stride[0], w->pad[0], (int64_t)(w->kernel[0] - 1) * w->dilation[0] + 1};
}

// Where in the chain a tensor is made, from `end` on backwards; `count` if before the chain.
static uint32_t maker(const tody_chain *c, uint32_t tensor, uint32_t end) {
    while (end-- > 0) {
        if (c->links[end].member.out[Y] == tensor) return end;
    }
    return c->count;
}

tody_link *tody_chain_source(const tody_chain *c, uint32_t k, uint32_t i) {
    if (!tody_goes_by_rows(c, &c->links[k], i)) return NULL;
    const uint32_t at = maker(c, c->links[k].member.in[i], k);
    return at < c->count ? &c->links[at] : NULL;
}

tody_chain tody_chain_of(const tody_call *call, tody_link *links, tody_link_run *runs) {
    const tody_chain c = {.call = call, .count = tody_chain_count(call), .links = links};
    for (uint32_t k = 0; k < c.count; k++)
        links[k] = (tody_link){.member = tody_member_of(call, k), .run = runs ? &runs[k] : NULL};
    return c;
}

bool tody_chain_find_leads(const tody_chain *c) {
    c->links[c->count - 1].rate = 1;
    for (uint32_t k = c->count; k-- > 0;) {
        const tody_link *l = &c->links[k];
        if (l->rate == 0) return false;
        for (uint32_t i = 0; i < l->member.in_count; i++) {
            tody_link *from = tody_chain_source(c, k, i);
            if (!from) continue;
            const tody_reach r = tody_reach_of(l, i);
            const int64_t rate = l->rate * r.stride, lead = (l->lead - 1) * r.stride - r.pad + r.rows;
            if (rate > MAX_RATE || lead > MAX_LEAD || lead < -MAX_LEAD || (from->rate && from->rate != rate)) return false;
            from->lead = (int32_t)(from->rate == 0 ? lead : tody_most(from->lead, lead));
            from->rate = (int32_t)rate;
        }
    }
    return true;
}

// Whether the windows hold the rows of all that link k takes, until it has made what belongs to a strip.
static bool windows_suffice(const tody_chain *c, uint32_t k) {
    const int64_t strip = ((const tody_strips_params *)c->call->params)->rows;
    const tody_link *l = &c->links[k];
    for (uint32_t i = 0; i < l->member.in_count; i++) {
        const tody_link *from = tody_chain_source(c, k, i);
        if (!from) continue;
        const tody_reach r = tody_reach_of(l, i);
        const int64_t wanted = tody_most(from->rate * strip + from->lead - l->lead * r.stride + r.pad, from->rate * strip);
        if (tody_link_output(c, from)->rows < tody_least(wanted, tody_link_output(c, from)->shape[TODY_HEIGHT])) return false;
    }
    return true;
}

static bool is_strip_image(const tody_tensor_record *t) { return t->rank == 4 && t->shape[0] == 1; }

// Whether input i of link k is an image whose rows lie where the chain can find them.
static bool input_sound(const tody_chain *c, uint32_t k, uint32_t i) {
    const tody_link *l = &c->links[k];
    if (l->member.in[i] == TODY_NONE) return true;
    const tody_tensor_record *t = tody_link_input(c, l, i);
    if (t->place == TODY_IN_STRIPS && !tody_chain_source(c, k, i)) return false;
    if (!tody_goes_by_rows(c, l, i)) return true;
    const tody_reach r = tody_reach_of(l, i);
    const int64_t last = (int64_t)(tody_link_output(c, l)->shape[TODY_HEIGHT] - 1) * r.stride - r.pad;
    return is_strip_image(t) && r.pad < r.rows && last < t->shape[TODY_HEIGHT];  // each window has a row of the image
}

// Two columns at least: a product of a single row may be summed in another order (kernels.h).
static bool output_sound(const tody_chain *c, uint32_t k, uint64_t window_bytes) {
    const tody_tensor_record *y = tody_link_output(c, &c->links[k]);
    if (!is_strip_image(y) || y->shape[TODY_WIDTH] < 2 || maker(c, c->links[k].member.out[Y], k) < c->count) return false;
    if (k + 1 == c->count) return c->call->out[Y] == c->links[k].member.out[Y] && y->place == TODY_IN_ARENA;
    return y->place == TODY_IN_STRIPS && (uint64_t)y->at + y->bytes <= window_bytes;
}

static bool link_sound(const tody_chain *c, uint32_t k, uint64_t window_bytes) {
    const tody_member *m = &c->links[k].member;
    if (m->op->row_inputs == 0 || m->out_count != 1 || m->in_count + 1 > TODY_CHAIN_TENSORS) return false;
    if (m->op->param_bytes > TODY_CHAIN_PARAMS * 4 || !output_sound(c, k, window_bytes)) return false;
    for (uint32_t i = 0; i < m->in_count; i++) {
        if (!input_sound(c, k, i)) return false;
    }
    return true;
}

tody_status tody_chain_check(const tody_call *call) {
    const tody_strips_params *p = call->params;
    const tody_tensor y = tody_out(call, Y), windows = tody_out(call, TODY_CHAIN_WINDOWS);
    if (p->count < 2 || p->count > TODY_MAX_CHAIN) return TODY_ERR_PARAM;
    if (windows.dtype != TODY_U8) return TODY_ERR_DTYPE;
    tody_link links[TODY_MAX_CHAIN];
    const tody_chain c = tody_chain_of(call, links, NULL);
    for (uint32_t k = 0; k < c.count; k++) {
        if (!link_sound(&c, k, windows.count)) return TODY_ERR_SHAPE;
    }
    if (p->rows < 1 || p->rows > y.shape[TODY_HEIGHT] || !tody_chain_find_leads(&c)) return TODY_ERR_PARAM;
    for (uint32_t k = 0; k < c.count; k++) {
        if (!windows_suffice(&c, k)) return TODY_ERR_SHAPE;
    }
    return TODY_OK;
}
