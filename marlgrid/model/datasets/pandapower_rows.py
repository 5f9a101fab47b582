"""Which rows of a pandapower network become elements of the grid, and in which order.

- Buses joined by closed bus-bus switches are one substation; an open one joins nothing. Substations are in the order of
  the bus index. A bus out of service, and whatever is connected to it, does not exist.
- Lines, transformers and storages out of service exist and start disconnected; an open line or transformer switch at
  either end counts as out of service. Generators, loads and shunts out of service do not exist: a grid whose load or
  generator is disconnected has lost, so they could never take part.
- Generators are the rows of ``gen``, then ``ext_grid``, then ``sgen``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

UNSUPPORTED = {
    "trafo3w": "three-winding transformers",
    "dcline": "DC lines",
    "line_dc": "DC lines",
    "bus_dc": "DC buses",
    "load_dc": "DC loads",
    "source_dc": "DC sources",
    "vsc": "converters",
    "vsc_stacked": "converters",
    "vsc_bipolar": "converters",
    "b2b_vsc": "converters",
    "svc": "static var compensators",
    "ssc": "static synchronous compensators",
    "tcsc": "series compensators",
    "ward": "wards",
    "xward": "extended wards",
    "impedance": "impedances",
    "motor": "motors",
    "asymmetric_load": "asymmetric loads",
    "asymmetric_sgen": "asymmetric static generators",
}
"""Tables of a network that the grid model has no element for."""
UNSUPPORTED_COLUMNS = (
    (
        "load",
        "loads of constant power",
        (
            *("const_z_percent", "const_z_p_percent", "const_z_q_percent"),
            *("const_i_percent", "const_i_p_percent", "const_i_q_percent"),
        ),
    ),
    ("storage", "storages without reactive power", ("q_mvar",)),
    ("shunt", "shunts without a step table", ("step_dependency_table",)),
    ("trafo", "transformers with one tap changer and no characteristic table", ("tap_dependency_table", "tap2_pos")),
)
"""Columns that must be zero or empty: table, what is supported instead, names of different pandapower versions."""


@dataclass(frozen=True)
class NetRows:
    """Index labels of the rows that are elements, table by table, in the order of the grid's elements."""

    sub: dict[int, int]
    """Substation of each bus in service."""
    first_bus: list[int]
    """One bus of each substation (the one with the smallest index)."""
    line: list[int]
    trafo: list[int]
    gen: list[int]
    ext_grid: list[int]
    sgen: list[int]
    load: list[int]
    storage: list[int]
    shunt: list[int]

    @classmethod
    def of(cls, net: Any) -> NetRows:
        """Raises ValueError that names every element which the grid model cannot hold."""
        sub, first_bus = _substations(net)
        problems = list(_problems(net, sub))
        if problems:
            raise ValueError("this pandapower network cannot be read: " + "; ".join(problems))
        injections = {
            table: _index(net, table, sub, ("bus",), in_service=table != "storage")
            for table in ("gen", "ext_grid", "sgen", "load", "storage", "shunt")
        }
        return cls(
            sub=sub,
            first_bus=first_bus,
            line=_index(net, "line", sub, ("from_bus", "to_bus"), in_service=False),
            trafo=_index(net, "trafo", sub, ("hv_bus", "lv_bus"), in_service=False),
            **injections,
        )

    def subs(self, net: Any, table: str, end: str = "bus") -> np.ndarray:
        """(n,) int32 substation of the rows of one table, by the column that holds the bus."""
        buses = net[table].loc[getattr(self, table), end]
        return np.array([self.sub[int(bus)] for bus in buses], dtype=np.int32)

    def branch_in_service(self, net: Any, table: str) -> np.ndarray:
        """(n,) bool for ``line`` or ``trafo``: in service, and no switch at either end is open."""
        rows = getattr(self, table)
        switch = net.switch[(net.switch.et == table[0]) & ~net.switch.closed.astype(bool)]
        return net[table].loc[rows, "in_service"].to_numpy(bool) & ~np.isin(rows, switch.element.to_numpy())


def _index(net: Any, table: str, sub: dict[int, int], buses: tuple[str, ...], *, in_service: bool) -> list[int]:
    frame = net[table]
    keep = np.ones(len(frame), dtype=bool)
    for end in buses:
        keep &= np.isin(frame[end].to_numpy(), list(sub))
    if in_service:
        keep &= frame.in_service.to_numpy(bool)
    return [int(label) for label in frame.index[keep]]


def _substations(net: Any) -> tuple[dict[int, int], list[int]]:
    """Substation of each bus in service, and the first bus of each substation."""
    live = sorted(int(bus) for bus in net.bus.index[net.bus.in_service.to_numpy(bool)])
    leader = {bus: bus for bus in live}

    def root(bus: int) -> int:
        while leader[bus] != bus:
            bus = leader[bus]
        return bus

    for a, b in _closed_couplers(net):
        if a in leader and b in leader:
            low, high = sorted((root(a), root(b)))
            leader[high] = low
    first_bus = [bus for bus in live if leader[bus] == bus]
    number = {bus: i for i, bus in enumerate(first_bus)}
    return {bus: number[root(bus)] for bus in live}, first_bus


def _closed_couplers(net: Any) -> Iterator[tuple[int, int]]:
    switch = net.switch[(net.switch.et == "b") & net.switch.closed.astype(bool)]
    yield from zip(switch.bus.astype(int), switch.element.astype(int), strict=True)


def label(net: Any, table: str, row: int) -> str:
    """How an error names one row: table, index and, where there is one, name."""
    name = net[table].at[row, "name"] if "name" in net[table] else None
    return f"{table} {row}" if name is None or pd.isna(name) or name == "" else f"{table} {row} ({name})"


def _labels(net: Any, table: str, mask: Any) -> str:
    rows = net[table].index[np.asarray(mask, dtype=bool)]
    shown = ", ".join(label(net, table, row) for row in rows[:5])
    return shown + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")


def _problems(net: Any, sub: dict[int, int]) -> Iterator[str]:
    """One sentence per kind of element that the grid model cannot hold."""
    if not sub:
        yield "it has no bus in service"
    for table, what in UNSUPPORTED.items():
        if table in net and len(net[table]):
            used = net[table].get("in_service", pd.Series(True, index=net[table].index)).astype(bool)
            if used.any():
                yield f"{what} are not supported, replace or remove {_labels(net, table, used)}"
    yield from _switch_problems(net, sub)
    yield from _slack_problems(net)
    for table, what, names in UNSUPPORTED_COLUMNS:
        for name in names:
            used = net[table].in_service.to_numpy(bool) & (column(net[table], name) != 0)
            if used.any():
                yield f"only {what} are supported, set {name} of {_labels(net, table, used)} to 0"
    if "tap_changer_type" in net.trafo:
        odd = ~net.trafo.tap_changer_type.isin(["Ratio", "Symmetrical", "Ideal", "None", ""])
        odd &= net.trafo.tap_changer_type.notna()
        if odd.any():
            yield f"tap changers must be Ratio, Symmetrical or Ideal, change {_labels(net, 'trafo', odd)}"


def column(frame: pd.DataFrame, name: str, default: float = 0.0) -> np.ndarray:
    """(n,) float: a column that may be absent or have gaps."""
    if name not in frame:
        return np.full(len(frame), default)
    values = pd.to_numeric(frame[name], errors="coerce").to_numpy(float, na_value=np.nan)
    return np.where(np.isnan(values), default, values)


def _switch_problems(net: Any, sub: dict[int, int]) -> Iterator[str]:
    if "z_ohm" in net.switch:
        resistive = (net.switch.et == "b") & net.switch.closed.astype(bool) & (column(net.switch, "z_ohm") > 0)
        if resistive.any():
            what = _labels(net, "switch", resistive)
            yield f"a closed bus-bus switch must have no impedance, set z_ohm of {what} to 0"
    for a, b in _closed_couplers(net):
        if a in sub and b in sub and not np.isclose(net.bus.at[a, "vn_kv"], net.bus.at[b, "vn_kv"]):
            yield f"buses {a} and {b} are joined by a closed switch but differ in nominal voltage"


def _slack_problems(net: Any) -> Iterator[str]:
    """Exactly one generator may balance the grid: an external grid, or a generator flagged ``slack``."""
    found = []
    for table in ("ext_grid", "gen"):
        used = net[table].in_service.to_numpy(bool) & np.isin(
            net[table].bus, net.bus.index[net.bus.in_service.astype(bool)]
        )
        if table == "gen":
            used &= net.gen.slack.to_numpy(bool) if "slack" in net.gen else False
        found += [label(net, table, row) for row in net[table].index[used]]
    if not found:
        yield "nothing balances it, add an external grid or set slack of one generator to True"
    if len(found) > 1:
        yield f"{', '.join(found)} all balance it, keep one and make the others plain generators"
