"""Run a model: arrays in and out, frames to detections, time and memory. Needs NumPy only."""

# SPDX-License-Identifier: Apache-2.0
