"""SimBench's networks, changed where the grid model is narrower than theirs, and what their data say of generators.

Every change keeps the flows as pandapower computes them on SimBench's own network (docs/cases.md gives the reasons).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from marlgrid.model.datasets.pandapower_rows import NetRows, label

BASE_MVA = 100.0
TECHNOLOGIES = {
    "wind": "wind",
    "pv": "solar",
    "hydro": "hydro",
    "run of river": "hydro",
    "biomass": "thermal",
    "gas": "thermal",
    "hard coal": "thermal",
    "lignite": "thermal",
    "oil": "thermal",
    "waste": "thermal",
    "nuclear": "nuclear",
}
"""Type of a generator by the first word(s) of SimBench's; whatever else feeds in stands for a lower grid."""
ENDS = {"line": ("from_bus", "to_bus"), "load": ("bus",), "gen": ("bus",), "sgen": ("bus",), "storage": ("bus",)}
NIGHT_HOURS = 3
SOLAR_NIGHT_SHARE = 0.25
"""A lower grid counts as solar if it feeds in less than this share of its mean in the first hours after midnight."""


class SimbenchNet(NamedTuple):
    """A network that ``grid_from_pandapower`` reads, and the profiles of its elements."""

    net: Any
    """pandapower network: ``type`` of its generators is a type of ``Grid``, column ``profile`` names their profile."""
    profiles: pd.DataFrame
    """(n_row, n_profile) share of an element's power in each quarter of an hour; loads have ``_pload`` and ``_qload``,
    what has no profile is constant."""
    start: np.datetime64


def simbench_net(code: str) -> SimbenchNet:
    """The network of a SimBench code.

    Raises ValueError for an unknown code, and for a grid that the grid model cannot hold; ImportError without the
    package ``simbench``.
    """
    try:
        import simbench
    except ImportError as error:
        raise ImportError(f"the case 'simbench:{code}' needs the package simbench: pip install simbench") from error
    _check_code(code, simbench.collect_all_simbench_codes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = simbench.get_simbench_net(code)
    net.name = code
    profiles, start = _profiles(net.pop("profiles"))
    for table in ("measurement", "substation", "loadcases"):
        net.pop(table, None)
    net.sn_mva = BASE_MVA
    _join_external_grids(net)
    net.sgen = net.sgen[(net.sgen.p_mw != 0) | (net.sgen.q_mvar != 0)]
    net.trafo.loc[net.trafo.tap_pos != net.trafo.tap_neutral, "tap_changer_type"] = "Ratio"
    for table in ("gen", "sgen"):
        kinds = zip(net[table].type, net[table].profile, strict=True)
        net[table]["type"] = [_technology(text, profiles.get(name)) for text, name in kinds]
    _forget_vector_groups(net)
    _drop_dead_buses(net)
    return SimbenchNet(net, profiles, start)


def _check_code(code: str, known: list[str]) -> None:
    if code in known:
        return
    grids: dict[str, None] = {}
    for each in known:
        grid, _, _ = each.rsplit("-", 2)
        grids[grid] = None
    raise ValueError(
        f"unknown SimBench code {code!r}; give <grid>-<scenario>-<switches> with one of the grids {list(grids)}, the "
        "scenario 0, 1 or 2, and sw or no_sw, for example '1-HV-mixed--0-no_sw' (1-complete_data-mixed-all and "
        "1-EHVHVMVLV-mixed-all have sw only)"
    )


def _profiles(tables: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, np.datetime64]:
    """Loads, power plants and renewables side by side, and the time of row 0."""
    parts = [tables[name] for name in ("load", "powerplants", "renewables")]
    start = pd.to_datetime(parts[0].time.iloc[0], format="%d.%m.%Y %H:%M")
    values = pd.concat([part.drop(columns="time") for part in parts], axis=1).astype(float)
    return values.assign(constant=1.0), np.datetime64(start, "m")


def _technology(text: Any, profile: pd.Series | None) -> str:
    words = str(text).lower()
    for start, technology in TECHNOLOGIES.items():
        if words.startswith(start):
            return technology
    if profile is None:
        return "thermal"
    night = profile.to_numpy().reshape(-1, 96)[:, : 4 * NIGHT_HOURS].mean()
    return "solar" if night < SOLAR_NIGHT_SHARE * profile.mean() else "wind"


# ---------------------------------------------------------------------- the external grids
def _join_external_grids(net: Any) -> None:
    """One external grid instead of several of one angle, in place, without any change of flows.

    Ideal sources of one angle are one source behind transformers of other ratios: each transformer moves to the bus of
    the first external grid, its rated voltage there by the ratio of the two voltages. Raises ValueError where something
    else than transformers hangs on such a source.
    """
    first, *others = net.ext_grid.index[net.ext_grid.in_service]
    home = net.ext_grid.loc[first]
    home_kv = home.vm_pu * net.bus.at[home.bus, "vn_kv"]
    for other in others:
        source = net.ext_grid.loc[other]
        buses = _fused(net, int(source.bus))
        here = net.trafo.hv_bus.isin(buses)
        beside = [label(net, table, row) for table in ENDS for row in _rows_at(net, table, buses)]
        if beside or source.va_degree != home.va_degree:
            raise ValueError(
                f"the SimBench grid {net.name} needs more than one slack: {len(others) + 1} buses hold an angle, "
                f"not all behind transformers of their own (at {label(net, 'ext_grid', other)} there are "
                f"{', '.join(beside[:3])}); choose an HV, HVMV, MV, MVLV or LV grid"
            )
        net.trafo.loc[here, "vn_hv_kv"] *= home_kv / (source.vm_pu * net.bus.at[source.bus, "vn_kv"])
        net.trafo.loc[here, "hv_bus"] = home.bus
        net.bus.loc[buses, "in_service"] = False
    net.ext_grid = net.ext_grid.loc[[first]]


def _rows_at(net: Any, table: str, buses: list[int]) -> list[int]:
    return list(net[table].index[net[table][list(ENDS[table])].isin(buses).any(axis=1)])


def _fused(net: Any, bus: int) -> list[int]:
    """The buses joined to this one by closed bus-bus switches."""
    couplers = net.switch[(net.switch.et == "b") & net.switch.closed.astype(bool)]
    found, border = {bus}, {bus}
    while border:
        ends = couplers[couplers.bus.isin(border) | couplers.element.isin(border)]
        border = {int(end) for end in ends[["bus", "element"]].to_numpy().ravel()} - found
        found |= border
    return sorted(found)


def _forget_vector_groups(net: Any) -> None:
    """No phase shift where all transformers between two voltage levels have the same: angles of the lower level turn
    together, flows stay, and a power flow that starts with all angles at 0 finds its solution."""
    levels = [net.bus.vn_kv.loc[net.trafo[side]].to_numpy() for side in ("hv_bus", "lv_bus")]
    for _, alike in net.trafo.groupby(levels):
        if alike.shift_degree.nunique() == 1:
            net.trafo.loc[alike.index, "shift_degree"] = 0.0


def _drop_dead_buses(net: Any) -> None:
    """Takes out of service what no closed switch and no line connects: spare busbars of the full switch model."""
    from pandapower.topology import unsupplied_buses

    net.bus.loc[list(unsupplied_buses(net)), "in_service"] = False


def element_profiles(simbench: SimbenchNet, rows: NetRows) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Column of the profiles and factor (MW, MVAr) of each element, in the grid's order: load_p, load_q, gen_p.

    The entry of the external grid is 0.
    """
    net, columns = simbench.net, simbench.profiles.columns
    found = {}
    load = net.load.loc[rows.load]
    for quantity, factor, suffix in (("load_p", load.p_mw, "_pload"), ("load_q", load.q_mvar, "_qload")):
        found[quantity] = _column_numbers(columns, load.profile, suffix), (factor * load.scaling).to_numpy(float)
    parts = [net[table].loc[getattr(rows, table)] for table in ("gen", "ext_grid", "sgen")]
    names = pd.concat([part.profile for part in parts])
    factors = [parts[0].p_mw * parts[0].scaling, 0.0 * parts[1].vm_pu, parts[2].p_mw * parts[2].scaling]
    found["gen_p"] = _column_numbers(columns, names, ""), pd.concat(factors).to_numpy(float)
    return found


def _column_numbers(columns: pd.Index, names: pd.Series, suffix: str) -> np.ndarray:
    wanted = ["constant" if pd.isna(name) else name + suffix for name in names]
    return columns.get_indexer(wanted)
