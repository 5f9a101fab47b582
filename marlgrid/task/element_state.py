"""All that an observation says about one element, as Grid2Op's ``state_of`` groups it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from marlgrid.task.record import Record


def state_of(record: Record, **asked: int | None) -> dict[str, Any]:
    """The state of the one element that is asked for, by ``load_id``, ``gen_id``, ``line_id``, ``storage_id`` or
    ``substation_id``. Raises ValueError for none or several, or for a number that does not exist."""
    given = {key: number for key, number in asked.items() if number is not None}
    if len(given) != 1:
        raise ValueError(f"give exactly one of {list(_READERS)}, not {list(given) or 'none'}")
    ((key, number),) = given.items()
    count, read = _READERS[key]
    n = getattr(record.grid, count)
    if not (isinstance(number, (int, np.integer)) and 0 <= number < n):
        raise ValueError(f"{key}: there is no {number!r}; numbers go from 0 to {n - 1}")
    return read(record, int(number))


def _load(o: Record, i: int) -> dict[str, Any]:
    return {
        "p": o.load_p[i],
        "q": o.load_q[i],
        "v": o.load_v[i],
        "theta": o.load_theta[i],
        "bus": o.load_bus[i],
        "sub_id": o.grid.load_to_subid[i],
    }


def _gen(o: Record, i: int) -> dict[str, Any]:
    return {
        "p": o.gen_p[i],
        "q": o.gen_q[i],
        "v": o.gen_v[i],
        "theta": o.gen_theta[i],
        "bus": o.gen_bus[i],
        "sub_id": o.grid.gen_to_subid[i],
        "target_dispatch": o.target_dispatch[i],
        "actual_dispatch": o.actual_dispatch[i],
        "curtailment": o.curtailment[i],
        "curtailment_limit": o.curtailment_limit[i],
        "curtailment_limit_effective": o.curtailment_limit_effective[i],
        "p_before_curtail": o.gen_p_before_curtail[i],
        "margin_up": o.gen_margin_up[i],
        "margin_down": o.gen_margin_down[i],
        "gen_p_delta": o.gen_p_delta[i],
    }


def _line(o: Record, i: int) -> dict[str, Any]:
    def end(side: str) -> dict[str, Any]:
        flows = {name: getattr(o, f"{name}_{side}")[i] for name in ("p", "q", "v", "a", "theta")}
        bus, sub = getattr(o, f"line_{side}_bus")[i], getattr(o.grid, f"line_{side}_to_subid")[i]
        return flows | {"bus": bus, "sub_id": sub}

    return {
        "origin": end("or"),
        "extremity": end("ex"),
        "maintenance": {"next": o.time_next_maintenance[i], "duration_next": o.duration_next_maintenance[i]},
        "cooldown_time": o.time_before_cooldown_line[i],
    }


def _storage(o: Record, i: int) -> dict[str, Any]:
    return {
        "p": o.storage_power[i],
        "storage_power": o.storage_power[i],
        "storage_charge": o.storage_charge[i],
        "storage_power_target": o.storage_power_target[i],
        "theta": o.storage_theta[i],
        "bus": o.storage_bus[i],
        "sub_id": o.grid.storage_to_subid[i],
    }


def _substation(o: Record, i: int) -> dict[str, Any]:
    busbars = o.sub_topology(i)
    return {
        "topo_vect": busbars,
        "nb_bus": len(np.unique(busbars[busbars > 0])),
        "cooldown_time": o.time_before_cooldown_sub[i],
    }


_READERS: dict[str, tuple[str, Callable[[Record, int], dict[str, Any]]]] = {
    "load_id": ("n_load", _load),
    "gen_id": ("n_gen", _gen),
    "line_id": ("n_line", _line),
    "storage_id": ("n_storage", _storage),
    "substation_id": ("n_sub", _substation),
}
