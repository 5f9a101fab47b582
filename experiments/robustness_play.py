"""One cell of the matrix: a defender against an attacker with a budget, on the episodes that all cells share."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from agents import agent_from
from agents.attackers import attacker_from
from experiments.budgets import CASE, changes_in
from experiments.evaluation import Starts, played
from experiments.robustness_measures import Meter, blackout_cost, outcome_names
from experiments.settings import TrainSettings
from experiments.strata import ALL, starts_of_stratum
from experiments.tasks import loaded, task_of
from marlgrid.env.registry import make_task
from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.simulation.state import Outcome
from marlgrid.task.opponents import OPPONENTS, opponent_from
from marlgrid.task.opponents.registry import OWN
from marlgrid.task.task import Task

NOBODY = "none"
"""The attacker that never attacks; whatever the budget, its cell is the same and played once."""


@dataclass(frozen=True)
class Contestant:
    """A defender or an attacker of the matrix."""

    label: str
    """What the tables call it."""
    spec: str
    """What ``agent_from`` or ``attacker_from`` reads: a name, the folder of a checkpoint, or a combination of such."""

    @classmethod
    def parse(cls, text: str) -> Contestant:
        """``spec`` or ``label:spec``; a checkpoint without a label is called as its run."""
        label, given, spec = text.partition(":")
        if not given:
            label, spec = _name_of(text), text
        if not label or not spec:
            raise ValueError(f"{text!r} names nobody: give a name, a checkpoint folder, or label:name or label:folder")
        return cls(label, spec)

    def fingerprint(self) -> str:
        """Changes with the spec, and with what is in the folders of its checkpoints."""
        digest = hashlib.sha256(self.spec.encode())
        for folder in folders(self.spec):
            for path in sorted(folder.rglob("module_state.pkl")):
                digest.update(path.read_bytes())
        return digest.hexdigest()[:10]


def folders(spec: str) -> list[Path]:
    """The checkpoints in the text of a defender or attacker."""
    return [Path(part) for part in re.split(r"[+*,=]", spec) if Path(part).is_dir()]


def _name_of(text: str) -> str:
    path = Path(text)
    if not path.is_dir():
        return text
    return path.parent.name if path.name == "checkpoint" else "/".join(path.parts[-2:])


class Cell(NamedTuple):
    """What is played against what."""

    defender: Contestant
    attacker: Contestant
    budget: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Labels: budget, attacker, defender."""
        return self.budget, self.attacker.label, self.defender.label

    @property
    def file(self) -> str:
        """Name of the file of its results; another checkpoint in the same folder gets another."""
        words = "--".join(self.key)
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in words)
        return f"{safe}--{self.defender.fingerprint()}{self.attacker.fingerprint()}.parquet"


@dataclass(frozen=True)
class Study:
    """What all cells have in common: the grid and the episodes."""

    case: str = "case14"
    zones: int = 0
    """0: those of the case. A checkpoint plays with the zones that it was trained for."""
    split: str = "test"
    episodes: int = 50
    steps: int = 288
    seed: int = 0
    """Of starts and attacks."""
    difficulty: str = "default"
    stratum: str = ALL
    """Episodes of one kind alone, ``"calm"`` or ``"hard"``."""

    def starts(self) -> Starts:
        """The episodes, the same for every cell."""
        return _starts(self)

    def task(self, cell: Cell) -> Task:
        """The task of one cell: that of the defender's training if it was trained, with the cell's attacker."""
        task = self._defenders_task(cell.defender)
        terms = replace(task.system.attack, **changes_in(task.system, cell.budget))
        system = replace(task.system, attack=terms)
        spec = cell.attacker.spec
        # a data set's own attacker has the settings that come with it
        opponent = opponent_from(spec, system) if spec in (*OPPONENTS, OWN) else attacker_from(spec)
        return replace(task, system=system, opponent=opponent)

    def _defenders_task(self, defender: Contestant) -> Task:
        settings = settings_of(defender.spec)
        if settings is None:
            return make_task(_loaded(self), split=self.split)
        if settings.case != self.case:
            raise ValueError(
                f"{defender.label} was trained on {settings.case}, but the study is on {self.case}: "
                f"add --case {settings.case}, or leave it out"
            )
        return task_of(replace(settings, difficulty=self.difficulty, attack_budget=CASE), NOBODY, self.split)


def _loaded(study: Study) -> tuple[System, TimeSeries]:
    """System and series, once per process: what one cell generated the next need not."""
    return loaded(TrainSettings(case=study.case, zones=study.zones, difficulty=study.difficulty))


@lru_cache(maxsize=4)
def _starts(study: Study) -> Starts:
    task = make_task(_loaded(study), split=study.split)
    if study.stratum == ALL:
        return Starts.of_split(task, study.split, study.episodes, study.steps, study.seed)
    return starts_of_stratum(task, study.split, study.stratum, study.episodes, study.steps, study.seed)


def settings_of(spec: str) -> TrainSettings | None:
    """The settings that the (first) checkpoint of a defender was trained with; None for one without checkpoints.

    They are in the ``settings.json`` of its run, the nearest folder above that has one.
    """
    for folder in folders(spec):
        above = [folder, *folder.resolve().parents]
        path = next((part / "settings.json" for part in above if (part / "settings.json").exists()), None)
        if path is None:
            raise ValueError(f"no settings.json above {folder}: give a checkpoint in the folder of its run")
        return TrainSettings.read(path)
    return None


def play(study: Study, cell: Cell) -> pd.DataFrame:
    """One row per episode, with the labels of the cell and the columns of ``robustness_measures``."""
    task, starts = study.task(cell), study.starts()
    meter = Meter(task.system, len(starts.seed))
    for moment in played(task, agent_from(cell.defender.spec), starts):
        meter.hear(moment.before.state, moment.after.state)
    state, infos = moment.after.state, moment.outputs.infos
    zones = [infos[zone] for zone in task.zones]
    blackout = blackout_cost(task, starts, state)
    counted = meter.columns()
    operation = sum(meter.costs.values())
    found = {
        "episode": np.arange(len(starts.seed)),
        "scenario": starts.scenario,
        "t_start": starts.t_start,
        "seed": starts.seed,
        "steps": state.t_end - state.t_start,
        "outcome": outcome_names(state.outcome),
        "survival": zones[0]["survival"],
        "survived_steps": zones[0]["survived_steps"].astype(np.int64),
        "completed": state.outcome == Outcome.TIME_LIMIT,
        "unserved_mwh": np.sum([info["unserved_mwh_total"] for info in zones], axis=0),
        "cost": operation + blackout,
        "cost_operation": operation,
        "cost_blackout": blackout,
        "illegal": np.sum([info["illegal_total"] for info in zones], axis=0),
        "attacks": state.attack.starts.astype(np.int64),
    }
    labels = dict(zip(("budget", "attacker", "defender"), cell.key, strict=True))
    return pd.DataFrame(labels | found | counted)
