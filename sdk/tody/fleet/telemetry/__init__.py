"""What a device measures and tells, and how that survives a power cut."""

# SPDX-License-Identifier: Apache-2.0
