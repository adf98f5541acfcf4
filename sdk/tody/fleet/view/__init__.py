"""What a fleet looks like: from its messages to a terminal and a page."""

# SPDX-License-Identifier: Apache-2.0
