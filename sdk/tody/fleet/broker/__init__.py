"""A broker that only the fleet may use: configuration, certificates, revocation, and a test of any broker."""

# SPDX-License-Identifier: Apache-2.0
