"""Lines and transformers of a pandapower network as pi circuits in per unit.

Textbook circuit theory. A line is its own pi circuit. A transformer is a T circuit on its low-voltage side (leakage,
magnetising branch, leakage), turned into the equivalent pi circuit, behind an ideal transformer at the other side.
Per unit of the network's ``sn_mva`` and of the nominal voltages of the buses.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from marlgrid.model.datasets.pandapower_rows import column

TRANSFORMER_FORMULAS = ("v3", "v2")


class Branches(NamedTuple):
    """(n,) each, in the terms of ``Grid``."""

    r_pu: np.ndarray
    x_pu: np.ndarray
    y_or_pu: np.ndarray
    y_ex_pu: np.ndarray
    ratio: np.ndarray
    shift_deg: np.ndarray
    limit_a: np.ndarray


def line_branches(net: Any, rows: list[int]) -> Branches:
    """The limit is ``max_i_ka`` times the number of parallel circuits and the derating factor."""
    line = net.line.loc[rows]
    parallel, length = line.parallel.to_numpy(float), line.length_km.to_numpy(float)
    vn_kv = net.bus.vn_kv.reindex(line.from_bus).to_numpy(float)
    base_ohm = vn_kv**2 / net.sn_mva
    r = line.r_ohm_per_km.to_numpy(float) * length / parallel / base_ohm
    x = line.x_ohm_per_km.to_numpy(float) * length / parallel / base_ohm
    capacitance = line.c_nf_per_km.to_numpy(float) * 1e-9
    conductance = column(line, "g_us_per_km") * 1e-6
    siemens = (conductance + 2j * np.pi * net.f_hz * capacitance) * length * parallel
    half = siemens * base_ohm / 2
    limit = 1000 * line.max_i_ka.to_numpy(float) * parallel * column(line, "df", 1.0)
    return Branches(r, x, half, half, np.ones(len(line)), np.zeros(len(line)), limit)


def trafo_branches(net: Any, rows: list[int], formula: str) -> Branches:
    """The limit is the rated current of the high-voltage side.

    ``formula`` "v3" takes the magnetising branch as inductive whatever the sign of ``i0_percent``, as pandapower 3
    does; "v2" takes a negative ``i0_percent`` as capacitive, as pandapower 2 did: networks converted from per-unit
    files carry the charging of their transformers that way, Grid2Op's among them. "v2" also splits the leakage evenly.
    """
    trafo = net.trafo.loc[rows]
    hv_bus_kv = net.bus.vn_kv.reindex(trafo.hv_bus).to_numpy(float)
    lv_bus_kv = net.bus.vn_kv.reindex(trafo.lv_bus).to_numpy(float)
    hv_kv, lv_kv, shift = _rated_voltages(trafo)
    parallel = trafo.parallel.to_numpy(float)
    sn_mva = trafo.sn_mva.to_numpy(float)
    ohm_to_pu = net.sn_mva / lv_bus_kv**2
    short_circuit = lv_kv**2 / sn_mva / parallel * ohm_to_pu / 100
    z = trafo.vk_percent.to_numpy(float) * short_circuit
    r = trafo.vkr_percent.to_numpy(float) * short_circuit
    x = np.sign(z) * np.sqrt(z**2 - r**2)
    iron_mw = trafo.pfe_kw.to_numpy(float) / 1000
    i0 = trafo.i0_percent.to_numpy(float)
    direction = np.sign(i0) if formula == "v2" else 1.0
    magnetising_mvar = direction * np.sqrt(np.maximum((i0 / 100 * sn_mva) ** 2 - iron_mw**2, 0))
    y = (iron_mw - 1j * magnetising_mvar) * parallel / lv_kv**2 / ohm_to_pu
    r_hv, x_hv = (
        np.full(len(trafo), 0.5) if formula == "v2" else column(trafo, f"leakage_{part}_ratio_hv", 0.5)
        for part in ("resistance", "reactance")
    )
    series, y_or, y_ex = _star_to_delta(r * r_hv + 1j * x * x_hv, r * (1 - r_hv) + 1j * x * (1 - x_hv), y)
    ratio = hv_kv / lv_kv * lv_bus_kv / hv_bus_kv
    limit = 1000 * sn_mva / (np.sqrt(3) * trafo.vn_hv_kv.to_numpy(float)) * parallel * column(trafo, "df", 1.0)
    return Branches(series.real, series.imag, y_or, y_ex, ratio, shift, limit)


def _star_to_delta(z_or: np.ndarray, z_ex: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two impedances that meet at an admittance to ground, as a pi circuit."""
    series = z_or + z_ex + z_or * z_ex * y
    return series, y * z_ex / series, y * z_or / series


def _rated_voltages(trafo: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) kV, kV and degree: rated voltages and phase shift at the present tap.

    A ratio tap adds to its winding a voltage of ``tap_step_percent`` per step, at ``tap_step_degree``; an ideal phase
    shifter turns the angle alone.
    """
    hv_kv, lv_kv = trafo.vn_hv_kv.to_numpy(float), trafo.vn_lv_kv.to_numpy(float)
    shift = column(trafo, "shift_degree")
    steps = column(trafo, "tap_pos") - column(trafo, "tap_neutral")
    percent, degree = column(trafo, "tap_step_percent") * steps / 100, column(trafo, "tap_step_degree")
    kind = trafo.get("tap_changer_type", pd.Series("Ratio", index=trafo.index)).astype(object)
    ideal, ratio = (kind == "Ideal").to_numpy(), kind.isin(["Ratio", "Symmetrical"]).to_numpy()
    turn = np.where(degree != 0, degree * steps, 2 * np.degrees(np.arcsin(np.clip(percent / 2, -1, 1))))
    factor = np.where(ratio, 1 + percent * np.exp(1j * np.deg2rad(degree)), 1.0)
    turn = np.where(ideal, turn, np.degrees(np.angle(factor)))
    at_hv, at_lv = (trafo.tap_side.astype(object) == side for side in ("hv", "lv"))
    hv_kv = hv_kv * np.where(at_hv, np.abs(factor), 1.0)
    lv_kv = lv_kv * np.where(at_lv, np.abs(factor), 1.0)
    return hv_kv, lv_kv, shift + np.where(at_hv, turn, 0.0) - np.where(at_lv, turn, 0.0)
