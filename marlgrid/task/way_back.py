"""The actions that lead back to the reference: all lines in service, everything on busbar 1, no dispatch, storages at a
chosen charge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from marlgrid.simulation.action import Commands
from marlgrid.task.record import Record

PRECISION_STEPS = 1e-5
"""A number of steps this close to a whole one is that one (Grid2Op's)."""


def way_back(
    record: Record,
    make: Callable[[Mapping[str, Any]], Commands],
    storage_setpoint: float = 0.5,
    zone: int | None = None,
) -> dict[str, list[Commands]]:
    """Actions by kind, those of one kind to be played one after the other; a kind without any is left out.

    ``powerline``: one per line out; ``substation``: one per substation with elements on other busbars;
    ``redispatching`` and ``storage``: one per step that ramps and power take, for all units at once; ``curtailment``:
    one. Cooldowns and quotas are not looked at. ``storage_setpoint`` is a ratio of the largest charge. With a ``zone``
    only what that zone may set is led back.
    """
    grid, zones = record.grid, record.system.zones
    if zone is None:
        switched = placed = generating = storing = np.True_
    else:
        switched, placed = zones.may_switch[zone], zones.place == zone
        generating, storing = zones.gen == zone, zones.storage == zone
    found: dict[str, list[dict[str, Any]]] = {}
    found["powerline"] = [{"set_line_status": [(int(i), 1)]} for i in np.flatnonzero(~record.line_status & switched)]
    split = np.unique(grid.topology_layout.sub[(record.topo_vect > 1) & placed])
    found["substation"] = [
        {"set_bus": {"substations_id": [(int(s), np.ones(grid.sub_info[s], dtype=int))]}} for s in split
    ]
    target = record.target_dispatch * generating
    found["redispatching"] = _in_steps("redispatch", -target, grid.gen_max_ramp_up, grid.gen_max_ramp_down)
    hours = record.delta_time / 60
    gap = (storage_setpoint * grid.storage_emax - record.storage_charge) / hours * storing
    found["storage"] = _in_steps("set_storage", gap, grid.storage_max_p_absorb, grid.storage_max_p_prod)
    capped = np.flatnonzero((np.abs(record.curtailment_limit - 1.0) >= 1e-7) & generating)
    found["curtailment"] = [{"curtail": [(int(i), 1.0) for i in capped]}] if len(capped) else []
    return {kind: [make(keys) for keys in actions] for kind, actions in found.items() if actions}


def _in_steps(key: str, total: np.ndarray, up: np.ndarray, down: np.ndarray) -> list[dict[str, Any]]:
    """``total`` MW of each unit in steps of at most ``up`` MW, or of ``down`` MW where it is negative."""
    most = np.where(total > 0, up, down)
    able = (np.abs(total) >= 1e-7) & (most > 0)
    count = np.where(able, np.ceil(np.abs(total) / np.where(most > 0, most, 1.0) - PRECISION_STEPS), 0).astype(int)
    actions = []
    for step in range(int(count.max(initial=0))):
        left = np.sign(total) * np.clip(np.abs(total) - step * most, 0.0, most)
        actions.append({key: [(int(i), float(left[i])) for i in np.flatnonzero(step < count)]})
    return actions
