"""Reads TFLite: file.py makes records of a file, walk.py a graph of the records, source.py a source of both."""

# SPDX-License-Identifier: Apache-2.0
