"""Actors and critics, how they start, and the logit of what is forbidden: the same in every way of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

FORBIDDEN = -1e9
"""Logit of an illegal action: its probability underflows to an exact 0, while sums of logits stay finite."""


def actor_layers(n_input: int, hiddens: Sequence[int], components: Sequence[int], idle_probability: float) -> nn.Module:
    """Observation -> logits of all components; nearly uniform at the start, but for element 0 of each component.

    ``idle_probability`` is that of element 0 in the untrained actor if all actions are legal; 0 leaves it like others.
    """
    actor = layers([n_input, *hiddens, sum(components)], last_gain=0.01)
    if idle_probability > 0:
        bias, at = actor[-1].bias, 0
        with torch.no_grad():
            for size in components:
                bias[at] = math.log(idle_probability / (1 - idle_probability) * max(size - 1, 1))
                at += size
    return actor


def critic_layers(n_input: int, hiddens: Sequence[int]) -> nn.Module:
    """What the critic sees -> (n, 1) value."""
    return layers([n_input, *hiddens, 1], last_gain=1.0)


def layers(sizes: Sequence[int], *, last_gain: float) -> nn.Sequential:
    """Tanh layers with orthogonal weights; the last one is linear and starts at ``last_gain`` of the usual size."""
    parts: list[nn.Module] = []
    for n, (inputs, outputs) in enumerate(pairwise(sizes)):
        last = n == len(sizes) - 2
        linear = nn.Linear(inputs, outputs)
        nn.init.orthogonal_(linear.weight, gain=last_gain if last else math.sqrt(2))
        nn.init.zeros_(linear.bias)
        parts += [linear] if last else [linear, nn.Tanh()]
    return nn.Sequential(*parts)
