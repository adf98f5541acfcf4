// frame.c - SMP over serial: packets as lines of base64 with a length and a CRC-16 (Zephyr's "SMP over console").
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "smp.h"

// Where in a line the receiver is. 0x06 and 0x04 are no digits of base64: wherever they come, a line begins, so that a lost end
// of line costs no more than its own packet.
enum { OUTSIDE, AFTER_06, AFTER_04, INSIDE };
enum { FIRST_0 = 0x06, FIRST_1 = 0x09, MORE_0 = 0x04, MORE_1 = 0x14 };
enum { LINE_DIGITS = 124, LINE_BYTES = 93, CRC_BYTES = 2 };

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// CRC-16/XMODEM, bit by bit: a packet is short.
static uint16_t crc16(const uint8_t *data, uint32_t bytes) {
    uint32_t crc = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        crc ^= (uint32_t)data[i] << 8;
        for (uint32_t bit = 0; bit < 8; bit++) crc = crc << 1 ^ (crc & 0x8000u ? 0x1021u : 0u);
    }
    return (uint16_t)crc;
}

static uint32_t u16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static void put_u16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

// The value of a digit of base64; 64: it is none.
static uint32_t digit_value(uint8_t c) {
    if (c >= 'A' && c <= 'Z') return c - 'A' + 0u;
    if (c >= 'a' && c <= 'z') return c - 'a' + 26u;
    if (c >= '0' && c <= '9') return c - '0' + 52u;
    return c == '+' ? 62u : c == '/' ? 63u : 64u;
}

static void drop(tody_link *link) {
    link->place = OUTSIDE;
    link->have = 0;
}

// A packet was damaged: say so, lest the laptop wait in vain. By a line of text, which tools that do not know it show or skip.
static void refuse(tody_link *link) {
    static const uint8_t nak[] = {'?', '\n'};
    drop(link);
    link->app->send(link->app->self, nak, sizeof nak);
}

static void take_digit(tody_link *link, uint8_t c) {
    const uint32_t value = digit_value(c);
    if (value == 64 ? c != '=' : link->have == TODY_LINK_BUFFER) {
        refuse(link);
        return;
    }
    link->digits = (uint8_t)(link->digits + 1);
    link->bits = link->bits << 6 | (value & 63u);
    const uint32_t over = 2u * (4u - link->digits);  // bits of the next byte: 4, 2, 0
    if (link->digits > 1 && value < 64) link->buffer[link->have++] = (uint8_t)(link->bits >> over);
    link->digits &= 3u;
}

// A line is over: answer if the packet is, too.
static void end_line(tody_link *link) {
    link->place = OUTSIDE;
    const uint32_t have = link->have, length = u16(link->buffer), bytes = length - CRC_BYTES;
    const bool begun = have < TODY_SMP_PREFIX + length;
    const uint8_t *message = link->buffer + TODY_SMP_PREFIX;
    if (begun && have >= TODY_SMP_PREFIX && !link->digits) return;  // lines to come
    const bool wrong = begun || have > TODY_SMP_PREFIX + length || length < TODY_SMP_HEADER + CRC_BYTES;
    if (link->digits || wrong || crc16(message, bytes) != u16(message + bytes)) {
        refuse(link);
        return;
    }
    drop(link);
    const uint32_t answer = tody_smp_answer(link, bytes);
    if (answer) tody_frame_send(link, answer);
    if (answer && link->reset) {
        link->reset = false;
        link->app->reset(link->app->self);
    }
}

static void begin_line(tody_link *link, uint8_t second) {
    const bool first = link->place == AFTER_06;
    link->digits = 0;
    if (second != (first ? FIRST_1 : MORE_1) || (!first && !link->have)) {
        drop(link);
        return;
    }
    if (first) link->have = 0;
    link->place = INSIDE;
}

static void take(tody_link *link, uint8_t c) {
    if (c == FIRST_0 || c == MORE_0) {
        link->place = c == FIRST_0 ? AFTER_06 : AFTER_04;
    } else if (link->place == AFTER_06 || link->place == AFTER_04) {
        begin_line(link, c);
    } else if (link->place == INSIDE && c == '\n') {
        end_line(link);
    } else if (link->place == INSIDE && c != '\r') {
        take_digit(link, c);
    }
}

void tody_link_begin(tody_link *link, const tody_link_app *app) {
    memset(link, 0, sizeof *link);
    link->app = app;
}

void tody_link_feed(tody_link *link, const uint8_t *data, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) take(link, data[i]);
}

// Digits for `bytes` of data, in whole fours.
static uint32_t encode(char *out, const uint8_t *data, uint32_t bytes) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < bytes; i += 3) {
        const uint32_t left = bytes - i;
        const uint32_t three =
            (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0u) | (left > 2 ? (uint32_t)data[i + 2] : 0u);
        out[count++] = digits[three >> 18];
        out[count++] = digits[three >> 12 & 63u];
        out[count++] = left > 1 ? digits[three >> 6 & 63u] : '=';
        out[count++] = left > 2 ? digits[three & 63u] : '=';
    }
    return count;
}

void tody_frame_send(tody_link *link, uint32_t bytes) {
    const uint32_t total = bytes + TODY_SMP_OVERHEAD;
    put_u16(link->buffer, bytes + CRC_BYTES);
    put_u16(link->buffer + TODY_SMP_PREFIX + bytes, crc16(link->buffer + TODY_SMP_PREFIX, bytes));
    for (uint32_t at = 0; at < total; at += LINE_BYTES) {
        char line[LINE_DIGITS + 3] = {at ? MORE_0 : FIRST_0, at ? MORE_1 : FIRST_1};
        const uint32_t left = total - at;
        const uint32_t count = encode(line + 2, link->buffer + at, left < LINE_BYTES ? left : LINE_BYTES);
        line[2 + count] = '\n';
        link->app->send(link->app->self, (const uint8_t *)line, count + 3);
    }
}
