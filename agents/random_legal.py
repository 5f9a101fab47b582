"""Random play inside the masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.base import Choices, Memoryless
from marlgrid import seeding
from marlgrid.task.task import Episode, Outputs, Task

STREAM = 901


class RandomLegal(Memoryless):
    """Every zone plays any of its legal actions with equal probability; the draws follow from the episodes' seeds."""

    def act(self, task: Task, episode: Episode, outputs: Outputs, memory: Any) -> tuple[Choices, Any]:
        state = episode.state
        choices: Choices = {}
        for number, zone in enumerate(task.zones):
            mask = outputs.masks[zone]
            parts = mask if isinstance(mask, tuple) else (mask,)
            draws = seeding.uniform(state.seed, state.t, STREAM + number, sum(part.shape[1] for part in parts))
            bounds = np.cumsum([part.shape[1] for part in parts])[:-1]
            chosen = [
                np.where(part > 0, drawn, -1.0).argmax(axis=1)
                for part, drawn in zip(parts, np.split(draws, bounds, axis=1), strict=True)
            ]
            choices[zone] = np.stack(chosen, axis=1) if isinstance(mask, tuple) else chosen[0]
        return choices, memory
