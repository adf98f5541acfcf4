// count.c - a plugin of QEMU's user mode: tells how many instructions have run, whenever the program asks getsid of MARK.
// SPDX-License-Identifier: Apache-2.0
//
// Stands alone: what QEMU 7 offers plugins is declared here. Each mark writes a line to standard error.
#include <stdint.h>
#include <stdio.h>

enum { GETSID_AARCH64 = 156, GETSID_ARM = 147, MARK = 0x70D1, ADD_U64 = 0, EXPORTED_VERSION = 1 };

typedef struct qemu_plugin_tb qemu_plugin_tb;

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*translated)(uint64_t id, qemu_plugin_tb *block));
size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_exec_inline(qemu_plugin_tb *block, int op, void *counter, uint64_t amount);
void qemu_plugin_register_vcpu_syscall_cb(uint64_t id, void (*called)(uint64_t id, unsigned cpu, int64_t number, uint64_t a1,
                                                                      uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                                                                      uint64_t a6, uint64_t a7, uint64_t a8));

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int qemu_plugin_version = EXPORTED_VERSION;

static uint64_t instructions;

static void translated(uint64_t id, qemu_plugin_tb *block) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &instructions, qemu_plugin_tb_n_insns(block));
}

static void called(uint64_t id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                   uint64_t a6, uint64_t a7, uint64_t a8) {
    (void)id, (void)cpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if ((number == GETSID_AARCH64 || number == GETSID_ARM) && a1 == MARK)
        fprintf(stderr, "instructions %llu\n", (unsigned long long)instructions);
}

EXPORTED int qemu_plugin_install(uint64_t id, const void *info, int count, char **arguments) {
    (void)info, (void)count, (void)arguments;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
