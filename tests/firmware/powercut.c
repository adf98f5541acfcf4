// powercut.c - a plugin of QEMU that kills it at the n-th store into a range of memory: powercut.so,base=..,size=..,n=..
// SPDX-License-Identifier: Apache-2.0
//
// The store itself has not landed then. What QEMU offers to plugins is declared here, as its interface of version 1 has it.
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct qemu_plugin_tb qemu_plugin_tb;
typedef struct qemu_plugin_insn qemu_plugin_insn;
typedef void on_translation(uint64_t id, qemu_plugin_tb *tb);
typedef void on_access(unsigned cpu, uint32_t info, uint64_t address, void *user);

enum { NO_REGISTERS = 0, STORES = 2 };

__attribute__((visibility("default"))) extern int qemu_plugin_version;
int qemu_plugin_version = 1;

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, on_translation *call);
size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb *tb);
qemu_plugin_insn *qemu_plugin_tb_get_insn(const qemu_plugin_tb *tb, size_t index);
void qemu_plugin_register_vcpu_mem_cb(qemu_plugin_insn *insn, on_access *call, int flags, int kinds, void *user);
bool qemu_plugin_mem_is_store(uint32_t info);
int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);

static uint64_t base, size, left;

static void on_store(unsigned cpu, uint32_t info, uint64_t address, void *user) {
    (void)cpu, (void)user;
    if (!qemu_plugin_mem_is_store(info) || address - base >= size) return;  // loads come too
    if (--left == 0) kill(getpid(), SIGKILL);
}

static void on_block(uint64_t id, qemu_plugin_tb *tb) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++)
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), on_store, NO_REGISTERS, STORES, NULL);
}

static uint64_t value(int argc, char **argv, const char *name) {
    const size_t length = strlen(name);
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=') return strtoull(argv[i] + length + 1, NULL, 0);
    }
    return 0;
}

__attribute__((visibility("default"))) int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
    (void)info;
    base = value(argc, argv, "base");
    size = value(argc, argv, "size");
    left = value(argc, argv, "n");
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
    return 0;
}
