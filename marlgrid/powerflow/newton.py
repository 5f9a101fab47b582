"""A compiled Newton-Raphson for batches: no Python between rows, no conversion, no lock held.

Polar coordinates, relative voltage steps, sparse block elimination on the pattern of each topology (``network``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.powerflow.base import Flow, PowerFlowInput
from marlgrid.powerflow.buses import BusLayout
from marlgrid.powerflow.flows import FlowModel
from marlgrid.powerflow.network import NetworkStore
from marlgrid.powerflow.problem import unsolved
from marlgrid.powerflow.solution import FEWEST, solve_groups, solve_rows


class NewtonPowerFlow:
    """AC power flow (single slack, no reactive limits, storages at zero reactive power). One thread at a time."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._store = NetworkStore(BusLayout.of(grid), FlowModel.of(grid))

    def __getstate__(self) -> dict[str, Any]:
        return {"grid": self.grid}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["grid"])  # type: ignore[misc]

    def solve(self, inputs: PowerFlowInput, start: np.ndarray, rows: np.ndarray) -> Flow:
        """See ``PowerFlow.solve``; ``start`` is (n_env, n_bus) complex per unit, zeros for a cold start."""
        problem, memory, places = unsolved(self.grid, len(rows))
        for array, given in zip(problem.inputs, inputs, strict=True):
            array[:] = given
        self.solve_into(memory, places, start, rows)
        return problem.flow

    def solve_into(self, memory: np.ndarray, places: np.ndarray, start: np.ndarray, rows: np.ndarray) -> None:
        """As ``solve``, of a problem in float64 ``memory`` where ``places`` (see ``places_of``) say; rows that are not
        asked for are left alone.

        ``start`` is complex128 and C-contiguous, and may be the voltage of the problem itself.
        """
        attempt = solve_groups if len(rows) >= FEWEST else solve_rows
        twice = False
        while attempt(self._store.block, memory, places, start, rows):
            self._store.clear(larger=twice)
            twice = True
