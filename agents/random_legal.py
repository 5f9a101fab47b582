"""Random play inside the masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.policy import Seen
from agents.team import Team
from marlgrid.task.actions import Mask


class Uniform:
    """A zone that plays any of its legal actions with equal probability; the draws follow from the episodes' seeds."""

    def initial_memory(self, n_env: int) -> Any:  # noqa: ARG002 - the protocol says so
        return ()

    def act(self, seen: Seen, mask: Mask, memory: Any) -> tuple[np.ndarray, Any]:
        parts = mask if isinstance(mask, tuple) else (mask,)
        if len(parts) == 0:
            raise ValueError("random legal play takes action masks: make the task with masks, and with actions that "
                             "have them ('discrete', 'multi_discrete')")  # fmt: skip
        draws = seen.draws(sum(part.shape[1] for part in parts))
        bounds = np.cumsum([part.shape[1] for part in parts])[:-1]
        chosen = [
            np.where(part > 0, drawn, -1.0).argmax(axis=1)
            for part, drawn in zip(parts, np.split(draws, bounds, axis=1), strict=True)
        ]
        return (np.stack(chosen, axis=1) if isinstance(mask, tuple) else chosen[0]), memory


class RandomLegal(Team):
    """Every zone plays any of its legal actions with equal probability."""

    def __init__(self) -> None:
        super().__init__({"zones": Uniform()})
