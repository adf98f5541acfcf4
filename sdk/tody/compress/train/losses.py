"""What a student learns from a teacher: its answers, what its layers see, and how they change it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def soft_labels(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """Kullback-Leibler divergence of softened classes, times the temperature squared so that gradients keep their size.

    Args:
        student, teacher: logits [batch, classes].

    Source: G. Hinton et al., "Distilling the knowledge in a neural network", 2015.
    """
    soft = F.log_softmax(student / temperature, 1), F.log_softmax(teacher / temperature, 1)
    return F.kl_div(*soft, reduction="batchmean", log_target=True) * temperature**2


def distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference as a share of the teacher's variance; of outputs, or of what layers make."""
    return F.mse_loss(student, teacher) / teacher.var().clamp(min=1e-12)


def flow(first: Tensor, last: Tensor) -> Tensor:
    """How features change between two layers: the mean products of their channels, [batch, channels, channels].

    Args:
        first, last: [batch, H, W, C]; the larger picture is pooled to the size of the smaller one.

    Source: J. Yim et al., "A gift from knowledge distillation: fast optimization, network minimization and transfer learning"
        (FSP), 2017.
    """
    size = [min(a, b) for a, b in zip(first.shape[1:3], last.shape[1:3], strict=True)]
    a, b = (F.adaptive_max_pool2d(x.permute(0, 3, 1, 2), size).flatten(2) for x in (first, last))
    return a @ b.transpose(1, 2) / a.shape[2]


def as_images(y: Tensor) -> Tensor:
    """What a layer of a torch module makes, [batch, C, H, W], as graphs have it: [batch, H, W, C]. Others as they are."""
    return y.permute(0, 2, 3, 1) if y.dim() == 4 else y


class Adapter(torch.nn.Module):  # type: ignore[misc]
    """Brings a student's features to as many channels as the teacher has, by a 1x1 convolution that is trained along.

    Source: A. Romero et al., "FitNets: hints for thin deep nets", 2015.
    """

    def __init__(self, taken: int, made: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(taken, made) if taken != made else torch.nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)
