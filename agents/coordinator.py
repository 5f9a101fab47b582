"""Zones propose, a coordinator lets one of them act."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.base import Agent, Choices
from agents.candidates import DIGITS
from agents.greedy import Greedy
from agents.planner import OfZone
from agents.team import Team
from marlgrid.simulation.action import NO_COMMANDS, Commands, joint
from marlgrid.simulation.forecast import simulate
from marlgrid.simulation.state import State, take
from marlgrid.task.task import Episode, Outputs, Task

WAYS = ("simulation", "priority")


class Coordinator:
    """At most one zone acts in a step: the coordinator picks one of the zones' proposals, as in the centrally
    coordinated teams of de Mol et al. (CCMA, arXiv 2502.08681) and van der Sar et al. (arXiv 2310.02605).

    ``choose="simulation"``: the proposal that leaves the lowest loading of the whole grid one step ahead, if that is
    lower than with none by ``margin``, or the grid is calm (below ``calm`` now, without it and after it);
    ``"priority"``: that of the zone with the most loaded line, whatever it may lead to. ``team`` makes the proposals:
    any ``Agent``, by default zones that search on what each knows. The memory is the team's.
    """

    def __init__(
        self, team: Agent | None = None, choose: str = "simulation", margin: float = 1e-3, calm: float = 0.9
    ) -> None:
        if choose not in WAYS:
            raise ValueError(f"choose is {choose!r}; choose from {WAYS}")
        self.team = Team({"zones": OfZone(Greedy())}) if team is None else team
        self.choose, self.margin, self.calm = choose, margin, calm

    def initial_memory(self, task: Task, n_env: int) -> Any:
        return self.team.initial_memory(task, n_env)

    def act(self, task: Task, episode: Episode, outputs: Outputs, memory: Any) -> tuple[Choices, Any]:
        proposed, memory = self.team.act(task, episode, outputs, memory)
        spoken = [[task.actions.commands(z, a) for a in proposed[zone]] for z, zone in enumerate(task.zones)]
        asks = np.array([[len(commands.kind) > 0 for commands in answers] for answers in spoken])
        pick = self._by_simulation if self.choose == "simulation" else _by_priority
        chosen = pick(task, episode.state, spoken, asks & episode.state.running)
        return {
            zone: [answer if z == one else NO_COMMANDS for answer, one in zip(spoken[z], chosen, strict=True)]
            for z, zone in enumerate(task.zones)
        }, memory

    def _by_simulation(self, task: Task, state: State, spoken: list[list[Commands]], asks: np.ndarray) -> np.ndarray:
        """(n_env,) the zone that acts, -1 for none."""
        rows, (zone, row) = np.flatnonzero(asks.any(axis=0)), np.nonzero(asks)
        if len(rows) == 0:
            return np.full(state.n_env, -1)
        silent = [NO_COMMANDS] * task.system.n_zone
        alone = [[*silent[:z], spoken[z][r], *silent[z + 1 :]] for z, r in zip(zone, row, strict=True)]
        copies, action = np.concatenate([rows, row]), joint([silent] * len(rows) + alone)
        after, ruling = simulate(task.system, task.foreseeing, task.series, take(state, copies), action)
        fine = ~after.lost & ruling.accepted.all(axis=1)
        result = np.where(fine, after.rho.max(axis=1).round(DIGITS), np.inf)
        idle, best = np.full(state.n_env, np.inf), np.full((len(silent), state.n_env), np.inf)
        idle[rows], best[zone, row] = result[: len(rows)], result[len(rows) :]
        least = best.min(axis=0)
        calm = np.maximum(np.maximum(idle, state.rho.max(axis=1)), least) < self.calm
        return np.where((least < idle - self.margin) | calm, best.argmin(axis=0), -1)


def _by_priority(task: Task, state: State, spoken: list[list[Commands]], asks: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """(n_env,) of the zones that ask, the one with the most loaded line; -1 for none."""
    in_zone = task.system.zones.line_in_zone
    loading = np.where(in_zone[:, None, :], state.rho[None], 0.0).max(axis=2)
    urgent = np.where(asks, loading, -1.0)
    return np.where(asks.any(axis=0), urgent.argmax(axis=0), -1)
