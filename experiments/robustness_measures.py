"""What an episode cost, counted while it is played: operating cost, overload, and recovery from attacks.

One row per episode of a batch; what each column means, with its unit, stands in ``COLUMNS``.
"""

from __future__ import annotations

import numpy as np

from experiments.evaluation import Starts
from experiments.score import load_cost
from marlgrid.model.system import System
from marlgrid.simulation.state import Outcome, State
from marlgrid.task.rewards_economy import L2RPNSandBoxScore
from marlgrid.task.task import Task

COLUMNS = {
    "survival": "steps survived over the steps of the episode",
    "survived_steps": "steps before the blackout; all steps where there was none",
    "completed": "whether the time limit was reached",
    "unserved_mwh": "MWh of load from a blackout to the end of the episode",
    "cost": "operating cost with the blackout: the five parts below",
    "cost_operation": "operating cost of the steps survived: the first four parts",
    "cost_losses": "losses (production less load), MWh at the price of the dearest generator that runs",
    "cost_redispatch": "redispatch in force, up or down, MWh at that price",
    "cost_curtailment": "growth of what is curtailed, MWh at that price; release counts back",
    "cost_storage": "storage use, charging or discharging, MWh at that price",
    "cost_blackout": "load from the step after a blackout on, MW of each step at the dearest generator's price per MWh",
    "overload_line_steps": "lines above their thermal limit, summed over steps",
    "overload_hours": "hours in which at least one line was above its limit",
    "worst_rho": "highest loading of a line in a step survived",
    "illegal": "actions refused, of all zones",
    "attacks": "attacks started",
    "attacked_line_steps": "lines under attack, summed over steps",
    "recovered": "share of the attacks after whose end the grid was whole again; empty without attacks",
    "recovery_steps": "steps from the end of an attack to the first whole grid, mean of those recovered from",
}
"""Column -> meaning. Whole is a grid with all loadings below 1, no attack in force, and every line in service that is
not in maintenance or failed. Costs are those of the L2RPN scores (``experiments.score``, 2020)."""

_PARTS = {
    "cost_losses": L2RPNSandBoxScore(alpha_redisp=0.0, alpha_curtailment=0.0, alpha_storage=0.0),
    "cost_redispatch": L2RPNSandBoxScore(alpha_loss=0.0, alpha_curtailment=0.0, alpha_storage=0.0),
    "cost_curtailment": L2RPNSandBoxScore(alpha_loss=0.0, alpha_redisp=0.0, alpha_storage=0.0),
    "cost_storage": L2RPNSandBoxScore(alpha_loss=0.0, alpha_redisp=0.0, alpha_curtailment=0.0),
}


class Meter:
    """Sums over the episodes of a batch: ``hear`` each step, then read the ``columns``."""

    def __init__(self, system: System, n_episode: int) -> None:
        self.system = system
        self.costs = {name: np.zeros(n_episode) for name in _PARTS}
        self.overload_line_steps = np.zeros(n_episode)
        self.overload_steps = np.zeros(n_episode)
        self.worst_rho = np.zeros(n_episode)
        self.attacked_line_steps = np.zeros(n_episode)
        self.recovery = Recovery(system, n_episode)

    def hear(self, before: State, after: State) -> None:
        """The step from ``before`` to ``after``; episodes that were over before it count nothing."""
        alive = before.running & ~after.lost
        for name, part in _PARTS.items():
            # the cost of a state asks for neither action nor ruling
            cost = part(self.system, before, None, None, after)[:, 0]  # type: ignore[arg-type]
            self.costs[name] += np.where(alive, cost, 0.0)
        over = (after.rho > 1.0).sum(axis=1)
        self.overload_line_steps += np.where(alive, over, 0)
        self.overload_steps += alive & (over > 0)
        self.worst_rho = np.where(alive, np.maximum(self.worst_rho, after.rho.max(axis=1)), self.worst_rho)
        self.attacked_line_steps += np.where(before.running, (after.attacked.line > 0).sum(axis=1), 0)
        self.recovery.hear(before, after)

    def columns(self) -> dict[str, np.ndarray]:
        """Column -> (n_episode,); those that the steps alone tell."""
        hours = self.system.delta_time / 60.0
        recovered, steps = self.recovery.result()
        return self.costs | {
            "overload_line_steps": self.overload_line_steps,
            "overload_hours": self.overload_steps * hours,
            "worst_rho": self.worst_rho,
            "attacked_line_steps": self.attacked_line_steps,
            "recovered": recovered,
            "recovery_steps": steps,
        }


class Recovery:
    """How long after the end of each attack the grid is whole again."""

    def __init__(self, system: System, n_episode: int) -> None:
        self.system = system
        self.waited = np.full((n_episode, system.grid.n_line), -1)
        """Steps since the end of the attack on a line, 0 while it is in force; -1: none to recover from."""
        self.attacks = np.zeros(n_episode)
        self.recoveries = np.zeros(n_episode)
        self.steps = np.zeros(n_episode)

    def hear(self, before: State, after: State) -> None:
        running = before.running[:, None]
        attacked = (after.attacked.line > 0) & running
        begun = attacked & (after.attacked.line > np.maximum(before.attacked.line - 1, 0))
        self.attacks += begun.sum(axis=1)
        waiting = (self.waited >= 0) & ~attacked & running
        self.waited = np.where(attacked, 0, self.waited + waiting)
        done = (self.waited > 0) & (whole(self.system, after) & before.running)[:, None]
        self.recoveries += done.sum(axis=1)
        self.steps += np.where(done, self.waited, 0).sum(axis=1)
        self.waited[done] = -1

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """(n_episode,) share of the attacks recovered from, and mean steps that took; NaN where there was none."""
        with np.errstate(invalid="ignore"):
            return self.recoveries / self.attacks, self.steps / self.recoveries


def whole(system: System, state: State) -> np.ndarray:
    """(n_env,) bool: nothing overloaded, no attack in force, no line out but those in maintenance or failed."""
    out = state.topology.topo_vect[:, system.grid.line_or_pos_topo_vect] < 0
    excused = (state.injections.time_next_maintenance == 0) | (state.injections.hazard_duration > 0)
    attacked = ((state.attacked.line > 0) | (state.attack.remaining > 0)).any(axis=1)
    attacked |= (state.attacked.sub > 0).any(axis=1)
    fine = (state.rho < 1.0).all(axis=1) & ~(out & ~excused).any(axis=1)
    return np.asarray(fine & ~attacked & ~state.lost)


def blackout_cost(task: Task, starts: Starts, state: State) -> np.ndarray:
    """(n_episode,) what the L2RPN scores charge for the load that a blackout leaves unserved."""
    return load_cost(task, starts, (state.t - state.t_start).astype(np.int64))


def outcome_names(outcome: np.ndarray) -> list[str]:
    """``Outcome`` by name."""
    return [Outcome(int(code)).name for code in outcome]
