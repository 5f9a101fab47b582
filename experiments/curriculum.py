"""Levels of a training run, from easy to hard: the next one begins when the team survives well enough on this one."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from experiments.settings import TrainSettings


def levels(settings: TrainSettings) -> list[TrainSettings]:
    """The settings of each level, the run's own ones last.

    ``settings.curriculum`` is what comes before them, such as ``"easy:none,default:day-1"``: difficulty and attack
    budget of each level. Raises ValueError for anything else.
    """
    found = []
    for entry in filter(None, settings.curriculum.split(",")):
        difficulty, colon, budget = entry.partition(":")
        if not colon or not difficulty or not budget:
            raise ValueError(
                f"curriculum entry {entry!r}: give difficulty:budget, such as easy:none, separated by commas"
            )
        found.append(replace(settings, difficulty=difficulty, attack_budget=budget))
    return [*found, settings]


def promoted(settings: TrainSettings, survival: float, episodes: int) -> bool:
    """Whether a level is done: the last ``episodes`` finished on it, at least ``settings.curriculum_episodes``, had a
    mean survival of ``settings.curriculum_survival``."""
    return episodes >= settings.curriculum_episodes and survival >= settings.curriculum_survival


class Finished:
    """The last finished episodes of a level, ``n`` or a few more, where only means over several are known."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.parts: deque[tuple[int, float]] = deque()
        """Number of episodes and their mean survival, the latest last."""

    def add(self, episodes: int, survival: float) -> None:
        """What finished since; the oldest are left out as soon as there are enough without them."""
        if episodes:
            self.parts.append((episodes, survival))
        while self.parts and self.episodes - self.parts[0][0] >= self.n:
            self.parts.popleft()

    @property
    def episodes(self) -> int:
        return sum(count for count, _ in self.parts)

    @property
    def survival(self) -> float:
        """Mean over all of them, 0 without any."""
        return sum(count * mean for count, mean in self.parts) / max(self.episodes, 1)
