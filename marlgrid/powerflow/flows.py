"""From bus voltages to the flow of every element: Ohm's and Kirchhoff's laws, the same for every AC solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from marlgrid.compiled import kernel, rule
from marlgrid.model.grid import Grid
from marlgrid.powerflow.base import Flow, PowerFlowInput
from marlgrid.powerflow.buses import BusLayout


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


class FlowConstants(NamedTuple):
    """What flows depend on besides voltages and injections, as compiled kernels take it."""

    sn_mva: float
    vn_kv: np.ndarray
    """(n_bus,)"""
    admittances: np.ndarray
    """(4, n_line) complex, see ``branch_admittances``."""
    gen_slack: np.ndarray
    gen_regulates: np.ndarray
    gen_q_mvar: np.ndarray
    gen_q_range: np.ndarray
    shunt_s: np.ndarray
    """(n_shunt,) complex MVA drawn at nominal voltage."""


@dataclass(frozen=True, eq=False)
class FlowModel:
    """The flows of one grid."""

    layout: BusLayout
    constants: FlowConstants

    @classmethod
    def of(cls, grid: Grid, layout: BusLayout) -> FlowModel:
        q_range = np.zeros(grid.n_gen) if grid.gen_q_range_mvar is None else grid.gen_q_range_mvar
        constants = FlowConstants(
            sn_mva=float(grid.sn_mva),
            vn_kv=np.tile(np.asarray(grid.sub_vn_kv, dtype=float), grid.n_busbar),
            admittances=branch_admittances(grid),
            gen_slack=np.asarray(grid.gen_slack, dtype=bool),
            gen_regulates=np.asarray(grid.gen_regulates_voltage, dtype=bool),
            gen_q_mvar=np.asarray(grid.gen_q_mvar, dtype=float),
            gen_q_range=np.asarray(q_range, dtype=float),
            shunt_s=np.asarray(grid.shunt_p_mw + 1j * grid.shunt_q_mvar, dtype=complex),
        )
        return cls(layout, constants)

    @property
    def admittances(self) -> np.ndarray:
        return self.constants.admittances

    @property
    def shunt_s(self) -> np.ndarray:
        return self.constants.shunt_s

    def flow(self, inputs: PowerFlowInput, buses: np.ndarray, voltage: np.ndarray, converged: np.ndarray) -> Flow:
        """The flow of the converged rows; clears ``voltage`` on dead buses and in the other rows.

        The slack generator balances its bus; the reactive power that a bus needs is shared by the generators that
        hold its voltage in proportion to their reactive range, or evenly where no range is known.
        """
        n_env, layout = len(converged), self.layout
        sizes = [part.stop - part.start for part in (layout.gen, layout.load, layout.storage, layout.shunt)]
        line: np.ndarray = np.zeros((10, n_env, layout.line_or.stop))
        gen, load, storage, shunt = (np.zeros((4, n_env, size)) for size in sizes)
        given = inputs.gen_p, inputs.load_p, inputs.load_q, inputs.storage_p
        _flows(buses, voltage, converged, given, self.constants, (line, gen, load, storage, shunt))
        return Flow._make((converged, *line, *gen, *load, storage[0], *storage[2:], *shunt[:3], voltage))


@kernel
def _flows(buses, voltage, converged, given, constants, out):
    gen_p, load_p, load_q, storage_p = given
    line, gen, load, storage, shunt = out
    vn_kv = constants.vn_kv
    n_bus, n_line = len(vn_kv), line.shape[2]
    first_load = 2 * n_line + gen.shape[2]
    first_storage = first_load + load.shape[2]
    first_shunt = first_storage + storage.shape[2]
    v_kv, theta = np.empty(n_bus), np.empty(n_bus)
    needed = np.empty(n_bus, dtype=np.complex128)  # MVA that the generators of each bus must supply
    no_q = np.zeros(storage.shape[2])
    for env in range(len(converged)):
        if not converged[env]:
            voltage[env] = 0.0
            continue
        bus = buses[env]
        _polar(bus, voltage[env], vn_kv, v_kv, theta)
        needed[:] = 0.0
        _line_flows(bus, voltage[env], constants, v_kv, theta, needed, line[:, env])
        _withdrawals(bus[first_load:], load_p[env], load_q[env], v_kv, theta, needed, load[:, env])
        _withdrawals(bus[first_storage:], storage_p[env], no_q, v_kv, theta, needed, storage[:, env])
        _shunt_flows(bus[first_shunt:], constants, v_kv, needed, shunt[:, env])
        _generation(bus[2 * n_line :], gen_p[env], constants, v_kv, theta, needed, gen[:, env])


@rule
def _polar(bus, voltage, vn_kv, v_kv, theta):
    """Magnitude and angle of the buses in use; the others are dead."""
    v_kv[:] = 0.0
    for b in bus:
        if b >= 0 and v_kv[b] == 0.0:
            v_kv[b] = abs(voltage[b]) * vn_kv[b]
            theta[b] = np.degrees(np.arctan2(voltage[b].imag, voltage[b].real))
    for b in range(len(voltage)):
        if v_kv[b] == 0.0:
            voltage[b] = 0.0


@rule
def _line_flows(bus, voltage, constants, v_kv, theta, needed, line):
    n_line, sn_mva, admittances = line.shape[1], constants.sn_mva, constants.admittances
    for i in range(n_line):
        f, t = bus[i], bus[n_line + i]
        if f < 0:
            continue
        s_or = sn_mva * voltage[f] * np.conj(admittances[0, i] * voltage[f] + admittances[1, i] * voltage[t])
        s_ex = sn_mva * voltage[t] * np.conj(admittances[2, i] * voltage[f] + admittances[3, i] * voltage[t])
        needed[f] += s_or
        needed[t] += s_ex
        line[0, i], line[1, i], line[2, i], line[4, i] = s_or.real, s_or.imag, v_kv[f], theta[f]
        line[3, i] = 1000.0 * abs(s_or) / (np.sqrt(3.0) * v_kv[f])
        line[5, i], line[6, i], line[7, i], line[9, i] = s_ex.real, s_ex.imag, v_kv[t], theta[t]
        line[8, i] = 1000.0 * abs(s_ex) / (np.sqrt(3.0) * v_kv[t])


@rule
def _withdrawals(bus, p, q, v_kv, theta, needed, out):
    for i in range(out.shape[1]):
        b = bus[i]
        if b >= 0:
            out[0, i], out[1, i], out[2, i], out[3, i] = p[i], q[i], v_kv[b], theta[b]
            needed[b] += p[i] + 1j * q[i]


@rule
def _shunt_flows(bus, constants, v_kv, needed, out):
    for i in range(out.shape[1]):
        b = bus[i]
        if b >= 0:
            s = constants.shunt_s[i] * (v_kv[b] / constants.vn_kv[b]) ** 2
            out[0, i], out[1, i], out[2, i] = s.real, s.imag, v_kv[b]
            needed[b] += s


@kernel
def _generation(bus, p, constants, v_kv, theta, needed, out):
    n_gen, slack, regulates = out.shape[1], constants.gen_slack, constants.gen_regulates
    q_mvar, q_range = constants.gen_q_mvar, constants.gen_q_range
    total = np.zeros(len(needed))
    count = np.zeros(len(needed))
    for i in range(n_gen):
        b = bus[i]
        if b < 0:
            continue
        out[2, i], out[3, i] = v_kv[b], theta[b]
        if not slack[i]:
            out[0, i] = p[i]
            needed[b] -= p[i]
        if regulates[i]:
            total[b] += q_range[i]
            count[b] += 1
        else:
            out[1, i] = q_mvar[i]
            needed[b] -= 1j * q_mvar[i]
    for i in range(n_gen):
        b = bus[i]
        if b < 0:
            continue
        if slack[i]:
            out[0, i] = needed[b].real
        if regulates[i]:
            known = total[b] > 0.0 and np.isfinite(total[b])
            out[1, i] = needed[b].imag * (q_range[i] / total[b] if known else 1.0 / count[b])
