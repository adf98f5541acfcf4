"""The command line: one program, verbs, GNU flags."""

# SPDX-License-Identifier: Apache-2.0
