"""Grids of two or three substations, written in a line, for networks solved by hand."""

from __future__ import annotations

import numpy as np

from marlgrid.model.grid import Grid

BASE_KV = 100.0
BASE_MVA = 100.0
BASE_A = 1000 * BASE_MVA / (np.sqrt(3) * BASE_KV)
"""A current of one per unit, in A."""


def hand_grid(n_sub: int, lines: list[dict], gens: list[dict], loads: list[dict], **changes) -> Grid:
    """Lines {f, t, r, x, y_or, y_ex, ratio, shift}; gens {sub, p, q, v, slack, static}; loads {sub, p, q}; per unit."""

    def column(items: list[dict], key: str, default=0.0, dtype=float) -> np.ndarray:
        return np.array([item.get(key, default) for item in items], dtype=dtype)

    n_gen = len(gens)
    fields = {
        "name": "hand",
        "sn_mva": BASE_MVA,
        "n_busbar": 2,
        "name_sub": tuple(f"sub_{i}" for i in range(n_sub)),
        "sub_vn_kv": np.full(n_sub, BASE_KV),
        "sub_xy": np.zeros((n_sub, 2)),
        "name_line": tuple(f"line_{i}" for i in range(len(lines))),
        "line_or_to_subid": column(lines, "f", dtype=np.int32),
        "line_ex_to_subid": column(lines, "t", dtype=np.int32),
        "line_is_trafo": np.zeros(len(lines), dtype=bool),
        "line_r_pu": column(lines, "r"),
        "line_x_pu": column(lines, "x"),
        "line_y_or_pu": column(lines, "y_or", dtype=complex),
        "line_y_ex_pu": column(lines, "y_ex", dtype=complex),
        "line_ratio": column(lines, "ratio", 1.0),
        "line_shift_deg": column(lines, "shift"),
        "thermal_limit": np.full(len(lines), 1000.0),
        "name_gen": tuple(f"gen_{i}" for i in range(n_gen)),
        "gen_to_subid": column(gens, "sub", dtype=np.int32),
        "gen_type": ("thermal",) * n_gen,
        "gen_pmin": np.zeros(n_gen),
        "gen_pmax": np.full(n_gen, 1000.0),
        "gen_max_ramp_up": np.full(n_gen, 10.0),
        "gen_max_ramp_down": np.full(n_gen, 10.0),
        "gen_min_uptime": np.zeros(n_gen, dtype=np.int32),
        "gen_min_downtime": np.zeros(n_gen, dtype=np.int32),
        "gen_cost_per_mw": np.full(n_gen, 40.0),
        "gen_startup_cost": np.zeros(n_gen),
        "gen_shutdown_cost": np.zeros(n_gen),
        "gen_slack": column(gens, "slack", False, bool),
        "gen_regulates_voltage": ~column(gens, "static", False, bool),
        "gen_p_mw": column(gens, "p") * BASE_MVA,
        "gen_q_mvar": column(gens, "q") * BASE_MVA,
        "gen_v_kv": column(gens, "v", 1.0) * BASE_KV,
        "name_load": tuple(f"load_{i}" for i in range(len(loads))),
        "load_to_subid": column(loads, "sub", dtype=np.int32),
        "load_p_mw": column(loads, "p") * BASE_MVA,
        "load_q_mvar": column(loads, "q") * BASE_MVA,
        "name_storage": (),
        "storage_to_subid": np.zeros(0, dtype=np.int32),
        "storage_type": (),
        "name_shunt": (),
        "shunt_to_subid": np.zeros(0, dtype=np.int32),
        "shunt_p_mw": np.zeros(0),
        "shunt_q_mvar": np.zeros(0),
    }
    storage = ("emax", "emin", "max_p_prod", "max_p_absorb", "marginal_cost", "loss")
    for name in (*storage, "charging_efficiency", "discharging_efficiency"):
        fields[f"storage_{name}"] = np.zeros(0)
    return Grid(**(fields | changes))


def with_storage(grid_fields: dict, sub: int) -> dict:
    """The changes that give a grid one storage."""
    one = np.ones(1)
    return grid_fields | {
        "name_storage": ("storage_0",),
        "storage_to_subid": np.array([sub], dtype=np.int32),
        "storage_type": ("battery",),
        "storage_emax": 10 * one,
        "storage_emin": 0 * one,
        "storage_max_p_prod": 50 * one,
        "storage_max_p_absorb": 50 * one,
        "storage_marginal_cost": 0 * one,
        "storage_loss": 0 * one,
        "storage_charging_efficiency": one,
        "storage_discharging_efficiency": one,
    }
