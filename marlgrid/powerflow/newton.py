"""A compiled Newton-Raphson for batches: no Python between rows, no conversion, no lock held.

Polar coordinates, relative voltage steps, sparse block elimination on the pattern of each topology (``network``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.powerflow.base import Flow, PowerFlowInput, plain_input
from marlgrid.powerflow.buses import BusLayout
from marlgrid.powerflow.flows import FlowModel
from marlgrid.powerflow.network import NetworkStore
from marlgrid.powerflow.solution import FEWEST, solve_groups, solve_rows


class NewtonPowerFlow:
    """AC power flow (single slack, no reactive limits, storages at zero reactive power). One thread at a time."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._model = FlowModel.of(grid)
        self._store = NetworkStore(BusLayout.of(grid))

    def __getstate__(self) -> dict[str, Any]:
        return {"grid": self.grid}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["grid"])  # type: ignore[misc]

    def solve(self, inputs: PowerFlowInput, start: np.ndarray, rows: np.ndarray) -> Flow:
        """See ``PowerFlow.solve``; ``start`` is (n_env, n_bus) complex per unit, zeros for a cold start."""
        flow, memory, places = self._model.blank(len(rows))
        self.solve_into(*plain_input(inputs), start, rows, flow.converged, flow.voltage, memory, places)
        return flow

    def solve_into(
        self,
        topo_vect: np.ndarray,
        shunt_bus: np.ndarray,
        gen_p: np.ndarray,
        gen_v: np.ndarray,
        load_p: np.ndarray,
        load_q: np.ndarray,
        storage_p: np.ndarray,
        start: np.ndarray,
        rows: np.ndarray,
        converged: np.ndarray,
        voltage: np.ndarray,
        memory: np.ndarray,
        places: np.ndarray,
    ) -> None:
        """As ``solve``, but writes ``converged``, ``voltage`` and the other fields of the flow into given arrays.

        Field ``f`` (in the order of ``Flow`` without ``converged`` and ``voltage``) of row ``e`` goes to the flat
        ``memory`` from ``places[f, 0] + e * places[f, 1]`` on. ``voltage`` may be ``start`` itself. int32 busbars,
        int64 places, float64 and complex128 otherwise; rows that are not asked for are left alone.
        """
        store, model = self._store, self._model
        n_env = len(rows)
        if n_env > len(store.slots):
            store.reserve(n_env)
        attempt = solve_groups if n_env >= FEWEST else solve_rows
        twice = False
        while attempt(
            *store.arguments, model.sizes, model.constants,
            topo_vect, shunt_bus, gen_p, gen_v, load_p, load_q, storage_p, start, rows,
            converged, voltage, memory, places,
        ):  # fmt: skip
            store.clear(larger=twice)
            twice = True
