"""Model updates over the air, and what devices tell of themselves (docs/update.md)."""

# SPDX-License-Identifier: Apache-2.0
