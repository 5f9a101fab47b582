"""The opponents that training has made so far, on both sides: plain checkpoints, numbered, and how they fare."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from agents.attackers import attacker_from
from agents.mixed import team_from
from experiments.evaluation import Starts, evaluate
from experiments.settings import TrainSettings
from experiments.tasks import task_of
from marlgrid.rllib.policies import save_policies

DEFENDERS, ATTACKERS = "defenders", "attackers"
RULES = ("uniform", "prioritised")
FLOOR = 0.05
"""Least weight of a member before scaling: who hardly ever wins is still met now and then."""

States = Mapping[str, Mapping[str, np.ndarray]]


class Pool:
    """``folder/defenders/000``, ``001``, ... and ``folder/attackers/001``, ..., each a checkpoint of policies alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, side: str, number: int) -> Path:
        return self.folder / side / f"{number:03d}"

    def has(self, side: str, number: int) -> bool:
        return self.path(side, number).is_dir()

    def members(self, side: str, below: int) -> list[str]:
        """Folders of those with a number below ``below``, in order."""
        return [str(self.path(side, k)) for k in range(below) if self.has(side, k)]

    def add(self, side: str, number: int, states: States) -> None:
        """Puts a checkpoint there as a whole: whatever interrupts this, there is all of it or nothing."""
        path = self.path(side, number)
        new = path.with_name(path.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        save_policies(new, states)
        new.rename(path)


class Payoffs:
    """Mean survival of teams against attackers on the same validation episodes, kept in a CSV file.

    An entry is a pure function of its pair and the settings, so one that is there is not played again.
    """

    def __init__(self, path: Path, settings: TrainSettings) -> None:
        self.path, self.settings = path, settings
        self.known: dict[tuple[str, str], float] = {}
        if path.exists():
            with path.open() as file:
                self.known = {(row["team"], row["attacker"]): float(row["survival"]) for row in csv.DictReader(file)}

    def survival(self, team: str, attacker: str) -> float:
        """Of the team (as ``team_from`` takes it) against the attacker (as ``attacker_from`` takes it)."""
        if (team, attacker) not in self.known:
            task = task_of(self.settings, attacker_from(attacker), "validation")
            settings = self.settings
            starts = Starts.of_split(task, "validation", settings.validation_episodes, settings.max_steps)
            self.known[team, attacker] = float(evaluate(task, team_from(team), starts).survival.mean())
            self._save()
        return self.known[team, attacker]

    def _save(self) -> None:
        new = self.path.with_name(self.path.name + ".new")
        with new.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("team", "attacker", "survival"))
            writer.writerows((*pair, repr(value)) for pair, value in sorted(self.known.items()))
        new.rename(self.path)


def weights(rule: str, wins: Sequence[float], power: float = 1.0) -> list[float]:
    """Shares in which the members of a pool are met, given how often each wins (0 to 1) against who is to learn.

    ``uniform``: equal ones. ``prioritised``: in proportion to the wins to a power, at least ``FLOOR`` each before
    scaling: prioritised fictitious self-play (Vinyals et al. 2019), which meets most those it loses to.
    """
    if rule not in RULES:
        raise ValueError(f"sampling is {rule!r}, choose from {RULES}")
    raw = np.ones(len(wins)) if rule == "uniform" else np.maximum(np.asarray(wins, dtype=float) ** power, FLOOR)
    return (raw / raw.sum()).tolist()


def mixture(names: Sequence[str], shares: Sequence[float]) -> str:
    """The members as ``attacker_from`` and ``team_from`` take a mixture."""
    if len(names) == 1:
        return names[0]
    return "+".join(f"{share:.6f}*{name}" for name, share in zip(names, shares, strict=True))
