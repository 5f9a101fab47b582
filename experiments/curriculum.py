"""Levels of a training run, from easy to hard: the next one begins when the team survives well enough on this one."""

from __future__ import annotations

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
