"""Models onto microcontrollers and boards, by wire: SMP over serial, TCP and UDP, and ssh."""
# SPDX-License-Identifier: Apache-2.0
