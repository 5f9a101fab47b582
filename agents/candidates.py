"""What-if for many episodes at once: every legal ready action of every zone, played on a copy of the episode."""

from __future__ import annotations

import numpy as np

from marlgrid.model.system import System
from marlgrid.simulation.action import Action, Commands, Kind
from marlgrid.simulation.forecast import simulate
from marlgrid.simulation.rules import legal
from marlgrid.simulation.state import Outcome, State, take
from marlgrid.task.actions import DiscreteActions
from marlgrid.task.menu import Menu, Table
from marlgrid.task.task import Task

LOST = np.inf
"""Loading that stands for a blackout."""


class Candidates:
    """The ready actions of all zones of a system, and what they would lead to."""

    def __init__(self, system: System, menu: Menu) -> None:
        self.table: Table = DiscreteActions(system, menu).table
        commands, start = self.table.commands, self.table.start
        self.size = np.diff(start)
        first = np.minimum(start[:-1], max(len(commands.kind) - 1, 0))
        self.reconnects = (
            (self.size == 1) & (commands.kind[first] == Kind.SET_LINE_STATUS) & (commands.value[first] > 0)
        )
        """(n_action,) bool: puts a line back, and nothing else."""
        self.line = np.where(self.reconnects, commands.index[first], -1)
        """(n_action,) the line put back."""

    def legal(self, system: System, state: State) -> np.ndarray:
        """(n_env, n_action) bool; doing nothing is left out."""
        allowed = legal(system, state, self.table.commands, self.table.start, self.table.zone)
        return allowed & (self.size > 0)

    def commands(self, action: int) -> Commands:
        """What an entry of the table asks for."""
        return self.table.entry(action)


def nothing_chosen(n_env: int, n_zone: int) -> np.ndarray:
    """(n_env, n_zone) table entries: none."""
    return np.full((n_env, n_zone), -1)


def loading_after(
    task: Task, candidates: Candidates, state: State, rows: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    """(n_candidate,) highest rho one step ahead, ``LOST`` after a blackout or when a zone's action is refused.

    ``rows`` (n_candidate,) says which episode each candidate belongs to, ``chosen`` (n_candidate, n_zone) which table
    entry each zone would play there (-1: nothing).
    """
    table = candidates.table
    idle = chosen < 0
    first = np.where(idle, 0, table.start[chosen]).astype(np.int32)
    last = np.where(idle, 0, table.start[chosen + 1]).astype(np.int32)
    after, ruling = simulate(
        task.system, task.solver, task.series, take(state, rows), Action(table.commands, first, last)
    )
    fine = (after.outcome <= Outcome.TIME_LIMIT) & ruling.accepted.all(axis=1)
    return np.where(fine, after.rho.max(axis=1), LOST)
