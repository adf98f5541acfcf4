"""What runs on a device: the agent, its store, what it trusts, the self-test, the detector that follows."""

# SPDX-License-Identifier: Apache-2.0
