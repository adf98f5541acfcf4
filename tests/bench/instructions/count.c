// count.c - a plugin of QEMU that counts instructions.
// SPDX-License-Identifier: Apache-2.0
//
// In user mode: whenever the program asks getsid of MARK, a line on standard error tells how many have run. With blocks=FILE:
// at the end, FILE gets a line for each translated block: its address, its instructions, how often it ran.
// Stands alone: what QEMU 7 offers plugins is declared here.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { GETSID_AARCH64 = 156, GETSID_ARM = 147, MARK = 0x70D1, ADD_U64 = 0, VERSION = 1, BLOCKS = 1 << 18 };

typedef struct qemu_plugin_tb qemu_plugin_tb;

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*translated)(uint64_t id, qemu_plugin_tb *block));
size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb *block);
uint64_t qemu_plugin_tb_vaddr(const qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_exec_inline(qemu_plugin_tb *block, int op, void *counter, uint64_t amount);
void qemu_plugin_register_vcpu_syscall_cb(uint64_t id, void (*called)(uint64_t id, unsigned cpu, int64_t number, uint64_t a1,
                                                                      uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                                                                      uint64_t a6, uint64_t a7, uint64_t a8));

void qemu_plugin_register_atexit_cb(uint64_t id, void (*ended)(uint64_t id, void *data), void *data);

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int qemu_plugin_version = VERSION;

typedef struct block {
    uint64_t address, instructions, runs;
} block;

static uint64_t instructions;
static const char *path;  // of the file for blocks, or NULL
static block blocks[BLOCKS];
static size_t block_count;

static void translated(uint64_t id, qemu_plugin_tb *tb) {
    (void)id;
    const size_t length = qemu_plugin_tb_n_insns(tb);
    qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &instructions, length);
    if (!path || block_count == BLOCKS) return;
    block *b = &blocks[block_count++];
    *b = (block){qemu_plugin_tb_vaddr(tb), length, 0};
    qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &b->runs, 1);
}

static void called(uint64_t id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                   uint64_t a6, uint64_t a7, uint64_t a8) {
    (void)id, (void)cpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if ((number == GETSID_AARCH64 || number == GETSID_ARM) && a1 == MARK)
        fprintf(stderr, "instructions %llu\n", (unsigned long long)instructions);
}

static void ended(uint64_t id, void *data) {
    (void)id, (void)data;
    FILE *file = fopen(path, "w");
    for (size_t i = 0; file && i < block_count; i++) {
        const block b = blocks[i];
        if (b.runs)
            fprintf(file, "%llx %llu %llu\n", (unsigned long long)b.address, (unsigned long long)b.instructions,
                    (unsigned long long)b.runs);
    }
    if (file) fclose(file);
}

EXPORTED int qemu_plugin_install(uint64_t id, const void *info, int count, char **arguments) {
    (void)info;
    for (int i = 0; i < count; i++) {
        if (strncmp(arguments[i], "blocks=", 7) == 0) path = strdup(arguments[i] + 7);
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    if (path) qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
