// check.c - every kernel of every set against portable, on random shapes; then, if asked, timed.
// SPDX-License-Identifier: Apache-2.0
//
//     check [--expect NAME] [--tries N] [--seed N] [--slot NAME] [--bench]
//
// --expect fails unless tody_kernels_pick chooses this set for this CPU. Exit code 1: something differs.
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "posix.h"

typedef struct options {
    const char *expect, *slot;
    uint64_t tries, seed;
    bool bench;
} options;

static char at_hand[512], place[64];  // the case that is being checked, for messages

void describe(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(at_hand, sizeof at_hand, format, list);
    va_end(list);
}

bool wrong(const char *format, ...) {
    va_list list;
    va_start(list, format);
    printf("FAIL %s: %s: ", place, at_hand);
    vprintf(format, list);
    printf("\n");
    va_end(list);
    return false;
}

void stray(int signal) {
    static const char text[] = ": read or wrote beyond its memory\n";
    bool said = write(1, "FAIL ", 5) > 0 && write(1, place, strlen(place)) > 0 && write(1, ": ", 2) > 0 &&
                write(1, at_hand, strlen(at_hand)) > 0 && write(1, text, sizeof text - 1) > 0;
    _exit(said ? 1 : 128 + signal);
}

// An empty slot is a null pointer, whatever its type.
static bool is_filled(const tody_kernels *set, const slot *s) {
    void (*function)(void);
    memcpy(&function, (const char *)set + s->at, sizeof function);
    return function != NULL;
}

static bool wanted(const options *o, const tody_kernels *set, const slot *s) {
    return is_filled(set, s) && (!o->slot || !strcmp(o->slot, s->name));
}

// One failure per slot is told, with the seed that repeats it.
static int check_slot(const options *o, const tody_kernels *set, const slot *s) {
    for (uint64_t i = 0; i < o->tries; i++) {
        snprintf(place, sizeof place, "%s %s --seed %llu", set->name, s->name, (unsigned long long)(o->seed + i));
        memory_reset();
        if (!s->check(set, o->seed + i)) return 1;
    }
    return 0;
}

static void bench_slot(const tody_kernels *set, const slot *s) {
    memory_reset();
    printf("%-9s %-14s", set->name, s->name);
    s->bench(set);
    printf("\n");
}

static int walk(const options *o, const slot *slots, uint32_t features, int *checked) {
    int failures = 0;
    for (const tody_kernels *const *set = tody_kernel_sets; *set; set++) {
        if ((*set)->needs & ~features) continue;
        for (const slot *s = slots; s->name; s++) {
            if (!wanted(o, *set, s)) continue;
            if (*set != &tody_kernels_portable) failures += check_slot(o, *set, s);
            if (o->bench) bench_slot(*set, s);
            (*checked)++;
        }
    }
    return failures;
}

static options parse(int count, char **arguments) {
    options o = {.tries = 300, .seed = 1};
    for (int i = 1; i < count; i++) {
        const char *name = arguments[i], *value = i + 1 < count ? arguments[i + 1] : "";
        if (!strcmp(name, "--bench"))
            o.bench = true;
        else if (!strcmp(name, "--expect"))
            o.expect = value, i++;
        else if (!strcmp(name, "--slot"))
            o.slot = value, i++;
        else if (!strcmp(name, "--tries"))
            o.tries = strtoull(value, NULL, 10), i++;
        else if (!strcmp(name, "--seed"))
            o.seed = strtoull(value, NULL, 10), i++;
        else {
            fprintf(stderr, "usage: check [--expect NAME] [--tries N] [--seed N] [--slot NAME] [--bench]\n");
            exit(2);
        }
    }
    return o;
}

int main(int count, char **arguments) {
    const options o = parse(count, arguments);
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGSEGV, stray);
    signal(SIGBUS, stray);
    memory_start();
    const uint32_t features = tody_cpu_features();
    const tody_kernels picked = tody_kernels_pick(features, NULL);
    int checked = 0, failures = walk(&o, product_slots, features, &checked) + walk(&o, pointwise_slots, features, &checked);
    failures += walk(&o, integer_slots, features, &checked) + walk(&o, sparse_slots, features, &checked);
    failures += walk(&o, winograd_slots, features, &checked) + walk(&o, winograd_s8_slots, features, &checked);
    failures += walk(&o, strassen_slots, features, &checked);
    failures += walk(&o, line_slots, features, &checked) + walk(&o, wide_slots, features, &checked);
    failures += walk(&o, half_slots, features, &checked);
    if (o.expect && strcmp(o.expect, picked.name)) {
        printf("FAIL this CPU (features %#x) got the kernel set %s, expected %s\n", features, picked.name, o.expect);
        failures++;
    }
    printf("%s: %d slots, %d failures\n", picked.name, checked, failures);
    return failures != 0;
}
