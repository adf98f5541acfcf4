// board.c - this computer as a board: the UART is a pseudo-terminal, the flash a file.
// SPDX-License-Identifier: Apache-2.0
//
// TODY_FLASH names the file (made if it is not there), TODY_LINE a symbolic link that is made to the terminal. The terminal's
// name is printed. Ends when standard input does.
#define _GNU_SOURCE
#include "app/board.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "core/kernels.h"
#include "sim/nor.h"

enum { FLASH_BYTES = 4 << 20, ARENA_BYTES = 1 << 20 };

static const char open_lines[] = "TODY_OPEN_LINE";  // in the environment: the terminal, kept across resets

static _Alignas(64) uint8_t arena[ARENA_BYTES];
static int line;
static uint64_t started_us;

static _Noreturn void die(const char *what) {
    perror(what);
    exit(1);
}

static uint8_t *open_flash(void) {
    const char *name = getenv("TODY_FLASH");
    const int file = open(name ? name : "flash.img", O_RDWR | O_CREAT, 0644);
    if (file < 0 || ftruncate(file, FLASH_BYTES) != 0) die(name);
    void *memory = mmap(NULL, FLASH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) die(name);
    return memory;
}

// Our end of a new terminal. The other end stays open too, or reading ours would fail while nobody is connected.
static int make_line(void) {
    struct termios raw;
    const int ours = posix_openpt(O_RDWR | O_NOCTTY);
    if (ours < 0 || grantpt(ours) != 0 || unlockpt(ours) != 0) die("pseudo-terminal");
    const int other = open(ptsname(ours), O_RDWR | O_NOCTTY);
    if (other < 0 || tcgetattr(other, &raw) != 0) die(ptsname(ours));
    cfmakeraw(&raw);
    tcsetattr(other, TCSANOW, &raw);
    return ours;
}

static void open_line(void) {
    const char *kept = getenv(open_lines), *name = getenv("TODY_LINE");
    char number[16];
    line = kept ? atoi(kept) : make_line();
    if (kept) return;
    snprintf(number, sizeof number, "%d", line);
    setenv(open_lines, number, 1);
    if (name && (unlink(name), symlink(ptsname(line), name)) != 0) die(name);
    printf("%s\n", ptsname(line));
    fflush(stdout);
}

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 - started_us;
}

const tody_board *tody_board_start(void) {
    static tody_flash flash = {FLASH_BYTES, NOR_ERASE_BYTES, NOR_WRITE_BYTES, NULL, nor_read, nor_erase, nor_program};
    static tody_board board = {
        .name = "host", .cpu = "this computer", .flash = &flash, .arena = arena, .arena_bytes = ARENA_BYTES};
    started_us = now_us();
    flash.self = open_flash();
    board.memory = flash.self;
    open_line();
    return &board;
}

uint32_t tody_board_read(uint8_t *to, uint32_t room) {
    struct pollfd ready = {.fd = line, .events = POLLIN};
    if (poll(&ready, 1, 0) <= 0) return 0;
    const ssize_t count = read(line, to, room);
    return count > 0 ? (uint32_t)count : 0;
}

void tody_board_write(const uint8_t *data, uint32_t bytes) {
    while (bytes) {
        const ssize_t count = write(line, data, bytes);
        if (count < 0) die("line");
        data += count;
        bytes -= (uint32_t)count;
    }
}

uint32_t tody_board_time_us(void) { return (uint32_t)now_us(); }

uint32_t tody_board_time_ms(void) { return (uint32_t)(now_us() / 1000); }

void tody_board_sleep(void) {
    struct pollfd ready[] = {{.fd = line, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    uint8_t byte;
    if (poll(ready, 2, -1) > 0 && ready[1].revents && read(STDIN_FILENO, &byte, 1) <= 0) exit(0);
}

void tody_board_reset(void) {
    char *const command[] = {"tody", NULL};
    execv("/proc/self/exe", command);
    die("restart");
}
