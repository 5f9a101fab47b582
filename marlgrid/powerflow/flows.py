"""What flows depend on besides voltages and injections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.powerflow.base import Flow, PowerFlowInput
from marlgrid.powerflow.ohm import flows
from marlgrid.powerflow.problem import unsolved


def branch_admittances(grid: Grid) -> np.ndarray:
    """(4, n_line) complex per unit: y_ff, y_ft, y_tf, y_tt of ``i_or = y_ff v_or + y_ft v_ex`` and likewise at the end.

    The pi circuit stands behind the ideal transformer of the origin end.
    """
    series = 1.0 / (grid.line_r_pu + 1j * grid.line_x_pu)
    ratio = grid.line_ratio * np.exp(1j * np.deg2rad(grid.line_shift_deg))
    return np.stack(
        [
            (series + grid.line_y_or_pu) / np.abs(ratio) ** 2,
            -series / np.conj(ratio),
            -series / ratio,
            series + grid.line_y_ex_pu,
        ]
    )


@dataclass(frozen=True, eq=False)
class FlowModel:
    """The grid as compiled kernels take it (``solution``)."""

    sizes: np.ndarray
    """(8,) int64: lines, generators, loads, storages, shunts, buses, substations, slack generator."""
    constants: np.ndarray
    """float64: sn_mva; kV of each bus; of each line the real and imaginary parts of its four admittances and the A per
    unit of current at both ends; of each generator kV, MVAr where it holds no voltage, reactive range, whether it holds
    a voltage, whether it is the slack; of each shunt MW and MVAr at nominal voltage, real and imaginary admittance."""
    grid: Grid

    @classmethod
    def of(cls, grid: Grid) -> FlowModel:
        counts = grid.n_line, grid.n_gen, grid.n_load, grid.n_storage, grid.n_shunt, grid.n_bus, grid.n_sub
        amps = [
            1000.0 * grid.sn_mva / (np.sqrt(3.0) * grid.sub_vn_kv[sub])
            for sub in (grid.line_or_to_subid, grid.line_ex_to_subid)
        ]
        line = np.stack([*(part for y in branch_admittances(grid) for part in (y.real, y.imag)), *amps], axis=1)
        regulates = np.asarray(grid.gen_regulates_voltage, dtype=bool)
        q_range = np.zeros(grid.n_gen) if grid.gen_q_range_mvar is None else grid.gen_q_range_mvar
        q_mvar = np.where(regulates, 0.0, grid.gen_q_mvar)
        gen = np.stack([grid.sub_vn_kv[grid.gen_to_subid], q_mvar, q_range, regulates, grid.gen_slack], axis=1)
        shunt_y = (grid.shunt_p_mw - 1j * grid.shunt_q_mvar) / grid.sn_mva
        shunt = np.stack([grid.shunt_p_mw, grid.shunt_q_mvar, shunt_y.real, shunt_y.imag], axis=1)
        vn_kv = np.tile(grid.sub_vn_kv, grid.n_busbar)
        constants = np.concatenate([[grid.sn_mva], vn_kv, line.ravel(), gen.ravel(), shunt.ravel()])
        sizes = np.array([*counts, grid.slack_gen], dtype=np.int64)
        return cls(sizes, constants.astype(np.float64), grid)

    def flow(self, inputs: PowerFlowInput, buses: np.ndarray, voltage: np.ndarray, converged: np.ndarray) -> Flow:
        """The flow of the converged rows; clears ``voltage`` on dead buses and in the other rows.

        The slack generator balances its bus; the reactive power that a bus needs is shared by the generators that
        hold its voltage in proportion to their reactive range, or evenly where no range is known.
        """
        (_, flow), memory, places = unsolved(self.grid, len(converged))
        given = inputs.gen_p, inputs.gen_v, inputs.load_p, inputs.load_q, inputs.storage_p
        flows(buses, self.sizes, self.constants, *given, converged, voltage, memory, places)
        return flow._replace(converged=converged, voltage=voltage)
