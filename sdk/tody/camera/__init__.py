"""Cameras and screens: frames from anything, pictures to anywhere."""

# SPDX-License-Identifier: Apache-2.0
from .camera import Camera
from .screen import Screen

__all__ = ["Camera", "Screen"]
