"""What the assistant tracks add to an episode's score: alarms (2021), alerts and the use of renewables (2023).

Each part listens to the steps of a batch of episodes and tells its result at the end. Formulas are those of Grid2Op's
``_AlarmScore``, ``_AlertTrustScore`` and ``_NewRenewableSourcesUsageScore``.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from marlgrid.model.system import System
from marlgrid.simulation.state import State
from marlgrid.task.rewards_attention import AlarmReward, AlertReward

FIRST_TRIPS = 4
"""Steps before a game over whose trips count as its beginning, at least."""
USUAL_SHARE = 80.0
"""Per cent of renewables used that is worth 0."""


class Listener(Protocol):
    """A part of the score."""

    def hear(self, state: State, played: np.ndarray) -> None:
        """The state after a step, for the rows ``played`` (n_env,) bool that were still running before it."""

    def result(self) -> np.ndarray:
        """(n_env,) of the episodes, once they are over."""


class AlarmScore:
    """1 where the episode was survived; else the worth of the best alarm, 1 at most, -2 without any in time."""

    def __init__(self, system: System, n_env: int) -> None:
        self.system, self.worth = system, AlarmReward(worst=-2.0, right_area=1.5)
        memory = max(system.parameters.alarm_best_time - system.parameters.alarm_window_size, FIRST_TRIPS)
        self.tripped = np.zeros((memory, n_env, system.grid.n_line), dtype=bool)
        self.points = np.zeros(n_env)

    def hear(self, state: State, played: np.ndarray) -> None:
        for row in np.flatnonzero(played & state.lost).tolist():
            lately = self.tripped[:, row].any(axis=0)
            first = lately if lately.any() else state.disc_lines[row] == 0
            self.points[row] = self.worth.at_game_over(self.system, state, row, first)
        self.points[played & ~state.running & ~state.lost] = 1.0
        self.tripped = np.concatenate([self.tripped[1:], [state.disc_lines >= 0]])

    def result(self) -> np.ndarray:
        return self.points


class TrustScore:
    """Alerts: from -3 to 1, where the sum of ``AlertReward`` stands between its worst and its best for the attacks."""

    def __init__(self, system: System, n_env: int) -> None:
        self.system = system
        self.reward = AlertReward(no_alert=0.0, false_alert=-1.0, missed=-50.0, foreseen=0.0, survived=0.0)
        self.gained, self.attacks = np.zeros(n_env), np.zeros(n_env)
        self.worst, self.best = np.zeros(n_env), np.zeros(n_env)
        self.lost = np.zeros(n_env, dtype=bool)

    def hear(self, state: State, played: np.ndarray) -> None:
        alone = self.reward.by_group(state, np.ones((1, self.system.dim_alerts), dtype=bool))[:, 0]
        self.gained += np.where(played, alone, 0.0)
        begun = (state.alert.time_since_last_attack == 0).any(axis=1)
        self.attacks += played & begun
        over = played & ~state.running
        recent = (state.alert.attacks != 0).any(axis=2).sum(axis=1)
        fatal = state.lost & (recent > 0)
        judged = np.where(fatal, self.attacks - recent, self.attacks)
        worst = judged * self.reward.false_alert + np.where(fatal, self.reward.missed, 0.0)
        best = judged * self.reward.no_alert + np.where(fatal, self.reward.foreseen, 0.0)
        self.worst[over], self.best[over], self.lost[over] = worst[over], best[over], state.lost[over]

    def result(self) -> np.ndarray:
        span = self.best - self.worst
        share = (self.gained - self.worst) / np.where(span > 0, span, 1.0)
        return np.where(span > 0, -3.0 + 4.0 * share, np.where(self.lost, 0.0, 1.0))


class RenewableScore:
    """The share of the renewable production that was used, from -1 (half of it) over 0 (80 %) to 1 (all)."""

    def __init__(self, system: System, n_env: int) -> None:
        self.renewable = system.grid.gen_renewable
        self.used, self.offered = np.zeros(n_env), np.zeros(n_env)

    def hear(self, state: State, played: np.ndarray) -> None:
        counts = played & state.running
        self.used += np.where(counts, state.flow.gen_p[:, self.renewable].sum(axis=1), 0.0)
        self.offered += np.where(counts, state.dispatch.p_before_curtail.sum(axis=1), 0.0)

    def result(self) -> np.ndarray:
        nothing = np.abs(self.offered) <= 1e-6
        share = np.where(nothing, 100.0, 100.0 * self.used / np.where(nothing, 1.0, self.offered))
        return usage_points(share)


def usage_points(share: np.ndarray) -> np.ndarray:
    """Points of a share in per cent: x ln x, moved and scaled so that 50, 80 and 100 give -1, 0 and 1."""
    share = np.maximum(share, 1e-6)
    centre, low, high = (x * np.log(x) for x in (USUAL_SHARE, 50.0, 100.0))
    above = share >= USUAL_SHARE
    points: np.ndarray = (share * np.log(share) - centre) / np.where(above, high - centre, centre - low)
    return points


PARTS: dict[int, dict[str, tuple[type, float, float]]] = {
    2021: {"alarm": (AlarmScore, 0.3, -np.inf)},
    2023: {"assistant": (TrustScore, 0.25, -3.0), "renewables": (RenewableScore, 0.15, -1.0)},
}
"""By year: what listens, its weight in the score (the rest is for the costs), and the least it can give."""
