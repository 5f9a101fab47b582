"""Rewards for warning the operators in time: alarms of an area before a game over, alerts to attacks on lines."""

# ruff: noqa: ARG002 (a reward need not use all it is given)
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from marlgrid.model.system import System
from marlgrid.simulation.action import Action
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import Outcome, State
from marlgrid.task.scope import Bound, Range, Scoped, spread


@dataclass(frozen=True)
class AlarmReward(Scoped):
    """1 at the time limit, 0 while running; at a game over, what the best alarm was worth, ``worst`` without any.

    An alarm d steps before a game over is worth 1 - ((d - best_time) / window_size)², half of it unless it named one
    area alone and a line tripped first in that area. A game over without a trip could not be foreseen: ``worst``.
    Raises ValueError where the case has no alarm areas. The scope changes nothing.
    """

    worst: float = -1.0
    right_area: float = 2.0
    """How much more an alarm of the right area alone is worth."""

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        if not system.dim_alarms:
            raise ValueError(
                "AlarmReward needs alarm areas, and the case has none: give it attention={'alarm_areas': …}"
            )
        values = np.where(after.outcome == Outcome.TIME_LIMIT, 1.0, 0.0)
        for row in np.flatnonzero(after.lost).tolist():
            values[row] = self.at_game_over(system, after, row, after.disc_lines[row] == 0)
        return spread(values[:, None], system)

    def at_game_over(self, system: System, state: State, row: int, first: np.ndarray) -> float:
        """Worth of the best alarm, where the lines ``first`` (n_line,) bool tripped first."""
        if (state.disc_lines[row] < 0).all():
            return self.worst
        best, window = system.parameters.alarm_best_time, system.parameters.alarm_window_size
        raised = state.alarm.raised[row]
        ago = (int(state.t[row] - state.t_start[row]) - np.arange(len(raised))) % len(raised)
        in_time = 1.0 - ((ago - best) / window) ** 2
        right = raised[:, (system.alarm_line & first).any(axis=1)].any(axis=1) & (raised.sum(axis=1) == 1)
        worth = in_time * np.where(right, self.right_area, 1.0) / self.right_area
        judged = raised.any(axis=1) & (in_time > 0)
        return float(worth[judged].max()) if judged.any() else self.worst

    def range(self, system: System, n_step: Bound = math.inf) -> Range:
        return self.worst, 1.0


@dataclass(frozen=True)
class AlertReward(Scoped):
    """Whether alerts told the attacks that could be survived from those that could not, by the share alerted to.

    ``alert_time_window`` steps after an attack began: from ``no_alert`` (none of the lines then attacked was alerted
    to) to ``false_alert`` (all were). At a game over: from ``missed`` to ``foreseen``, over the lines attacked within
    that window, 0 without any. ``survived`` at the time limit. In the zone scope, lines with an end in the zone.
    """

    no_alert: float = 1.0
    false_alert: float = -1.0
    missed: float = -10.0
    foreseen: float = 2.0
    survived: float = 1.0

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        heard = system.tables.may_alert if self.scope == "zone" else np.ones((1, system.dim_alerts), dtype=bool)
        return spread(self.by_group(after, heard), system)

    def by_group(self, after: State, heard: np.ndarray) -> np.ndarray:
        """(n_env, n_group) values for the lines ``heard`` (n_group, dim_alerts) bool."""
        verdict = after.alert.was_alert_used_after_attack[:, None, :] * heard
        attacks = (verdict != 0).sum(axis=2)
        right = (verdict > 0).sum(axis=2) / np.maximum(attacks, 1)
        running = self.false_alert + right * (self.no_alert - self.false_alert)
        lost = self.missed + right * (self.foreseen - self.missed)
        judged = np.where(attacks > 0, np.where(after.lost[:, None], lost, running), 0.0)
        return np.where((after.outcome == Outcome.TIME_LIMIT)[:, None], self.survived, judged)

    def range(self, system: System, n_step: Bound = math.inf) -> Range:
        values = self.no_alert, self.false_alert, self.missed, self.foreseen, self.survived, 0.0
        return min(values), max(values)
