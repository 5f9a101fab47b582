"""What-if for many episodes at once: legal ready actions of every zone, played on copies of the episodes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from agents.base import Choices
from marlgrid.model.system import System
from marlgrid.simulation.action import NO_COMMANDS, Action, Commands, Kind
from marlgrid.simulation.forecast import simulate
from marlgrid.simulation.rules import legal
from marlgrid.simulation.state import Outcome, State, take
from marlgrid.task.menu import Menu, table
from marlgrid.task.task import Task

LOST = np.inf
"""Loading that stands for a blackout."""
DIGITS = 6
"""Of a loading that counts: power flows are solved to less than the last of them."""
CHUNK = 4096
"""Copies simulated in one call: bounds the memory, not the result."""


class Candidates:
    """The ready actions of all zones of a system, or of one: which are legal, what they undo, what they lead to."""

    def __init__(self, system: System, menu: Menu | None = None, zone: int | None = None) -> None:
        self.system = system
        acting = range(system.n_zone) if zone is None else (zone,)
        self.table = table([_ready(system, menu or Menu(), z) if z in acting else [] for z in range(system.n_zone)])
        commands, start = self.table.commands, self.table.start
        first = start[:-1]
        self.kind = commands.kind[first]
        """(n_action,) of the first command, as the next two."""
        self.index = commands.index[first]
        self.value = commands.value[first]
        self.splits = np.isin(self.kind, (Kind.SET_BUS, Kind.CHANGE_BUS)) | (
            (self.kind == Kind.SET_LINE_STATUS) & (self.value < 0)
        )
        """(n_action,) bool: takes a line out or moves something to another busbar, which may leave a weaker grid."""
        home = system.grid.start_topo_vect[np.where(self.kind == Kind.SET_BUS, self.index, 0)]
        self._all_home = np.array(
            [bool(np.all(self._entry_values(a) == home[a])) for a in range(len(self.kind))], dtype=bool
        ) & (self.kind == Kind.SET_BUS)

    def legal(self, state: State) -> np.ndarray:
        """(n_env, n_action) bool; doing nothing is not among them."""
        return legal(self.system, state, self.table.commands, self.table.start, self.table.zone)

    def reconnects(self, state: State) -> np.ndarray:
        """(n_env, n_action) bool: puts back a line that is out, and nothing else."""
        out = state.topology.topo_vect[:, self.system.grid.line_or_pos_topo_vect] < 0
        puts_back = (self.kind == Kind.SET_LINE_STATUS) & (self.value > 0)
        return puts_back & out[:, np.where(puts_back, self.index, 0)]

    def undoes(self, state: State) -> np.ndarray:
        """(n_env, n_action) how far an action leads back to the undisturbed grid: 0 not at all.

        In this order: a line back in (4), a substation on one busbar (3), curtailment released (2), redispatch
        taken back (1).
        """
        dispatch, grid = state.dispatch, self.system.grid
        worth = np.where(self.reconnects(state), 4, 0)
        moved = (state.topology.topo_vect > 0) & (state.topology.topo_vect != grid.start_topo_vect)
        sub = grid.topology_layout.sub[np.where(self._all_home, self.index, 0)]
        away = np.add.reduceat(moved, grid.sub_start[:-1], axis=1)
        worth = np.where(self._all_home & (away[:, sub] > 0), 3, worth)
        releases = (self.kind == Kind.CURTAIL) & (
            self.value > self._of(self.kind == Kind.CURTAIL, dispatch.curtailment_limit)
        )
        worth = np.where(releases, 2, worth)
        target = self._of(self.kind == Kind.REDISPATCH, dispatch.target)
        returns = (self.kind == Kind.REDISPATCH) & (np.abs(target + self.value) < np.abs(target) - 1e-6)
        return np.where(returns, 1, worth)

    def nothing(self, n: int) -> np.ndarray:
        """(n, n_zone) table entries, all -1: no zone acts."""
        return np.full((n, self.system.n_zone), -1)

    def with_one_more(self, chosen: np.ndarray, action: np.ndarray) -> np.ndarray:
        """``chosen`` (n, n_zone) with entry ``action`` (n,) played by its zone."""
        chosen = chosen.copy()
        chosen[np.arange(len(action)), self.table.zone[action]] = action
        return chosen

    def loading_after(self, task: Task, state: State, rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """(n,) highest rho one step ahead, see ``rho_after``; rounded: a tie is one however rows are batched."""
        return self.rho_after(task, state, rows, chosen).max(axis=1, initial=0.0).round(DIGITS)

    def rho_after(self, task: Task, state: State, rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """(n, n_line) rho one step ahead; ``LOST`` after a blackout, or when a zone's action is refused.

        Copy k continues episode ``rows[k]`` with the table entries ``chosen[k]`` (n_zone,), -1 for nothing.
        """
        rho = np.empty((len(rows), self.system.grid.n_line))
        for at in range(0, len(rows), CHUNK):
            part = slice(at, at + CHUNK)
            idle = chosen[part] < 0
            first = np.where(idle, 0, self.table.start[chosen[part]]).astype(np.int32)
            last = np.where(idle, 0, self.table.start[chosen[part] + 1]).astype(np.int32)
            action = Action(self.table.commands, first, last)
            after, ruling = simulate(task.system, task.foreseeing, task.series, take(state, rows[part]), action)
            fine = (after.outcome <= Outcome.TIME_LIMIT) & ruling.accepted.all(axis=1)
            rho[part] = np.where(fine[:, None], after.rho, LOST)
        return rho

    def choices(self, chosen: np.ndarray) -> Choices:
        """Commands of every zone out of table entries (n_env, n_zone)."""
        return {
            zone: [NO_COMMANDS if entry < 0 else self.table.entry(entry) for entry in column]
            for zone, column in zip(self.system.zones.agents, chosen.T, strict=True)
        }

    def _entry_values(self, action: int) -> np.ndarray:
        return self.table.commands.value[self.table.start[action] : self.table.start[action + 1]]

    def _of(self, which: np.ndarray, values: np.ndarray) -> np.ndarray:
        """(n_env, n_action) the values of the generators that the actions ``which`` are about."""
        return values[:, np.where(which, self.index, 0)]


@lru_cache(maxsize=128)
def candidates_of(system: System, menu: Menu | None = None, zone: int | None = None) -> Candidates:
    """The candidates of a system, made once."""
    return Candidates(system, menu, zone)


def _ready(system: System, menu: Menu, zone: int) -> list[Commands]:
    return [option for component in menu.components(system, zone) for option in component.options]
