"""Ways to cut a grid into zones, by name."""

from __future__ import annotations

from functools import partial

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.model.zones import ZoneSpec

PARTITIONS = ("automatic", "substation", "voltage", "scattered")


def zones_spec(partition: str, n_zone: int = 0) -> ZoneSpec | None:
    """What ``make_task(..., zones=)`` takes for a name; None for the zones that the case comes with.

    ``"automatic"``: ``n_zone`` connected zones by electrical distance (0: those of the case). ``"substation"``: one
    each. ``"voltage"``: one per nominal voltage. ``"scattered"``: substations dealt out in turn to ``n_zone`` zones, as
    far from a sensible partition as can be. Raises ValueError for other names.
    """
    if partition == "automatic":
        return n_zone or None
    if partition == "substation":
        return "substation"
    if partition == "voltage":
        return by_voltage
    if partition == "scattered":
        if n_zone < 1:
            raise ValueError(f"zones is {n_zone}: scattered zones take a number of at least 1")
        return partial(dealt_out, n_zone=n_zone)
    raise ValueError(f"unknown partition {partition!r}; choose from {list(PARTITIONS)}")


def by_voltage(grid: Grid) -> list[int]:
    """Labels by nominal voltage, the highest first."""
    levels = sorted(set(grid.sub_vn_kv.tolist()), reverse=True)
    return [levels.index(kv) for kv in grid.sub_vn_kv.tolist()]


def dealt_out(grid: Grid, n_zone: int) -> list[int]:
    """Labels 0, 1, ..., n_zone - 1, 0, 1, ... in the order of the substations."""
    return (np.arange(grid.n_sub) % n_zone).tolist()
