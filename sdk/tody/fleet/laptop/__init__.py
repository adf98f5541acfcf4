"""What the owner of a fleet has on the laptop: keys, the signed repository, pushing and steering; and the keeper."""

# SPDX-License-Identifier: Apache-2.0
