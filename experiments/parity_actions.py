"""Actions for both worlds: random ones in Grid2Op's keys, and the commands that say the same here."""

from __future__ import annotations

from typing import Any

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.model.system import System
from marlgrid.simulation.action import NO_COMMANDS, Commands, Kind

SCRIPTED = "scripted"
POLICIES = ("nothing", "random", "topology", "dispatch", "hostile", SCRIPTED)
KINDS = {
    "nothing": {"nothing": 1.0},
    "random": {
        "nothing": 0.4, "status": 0.1, "bus": 0.1, "change": 0.05, "redispatch": 0.2, "storage": 0.1, "curtail": 0.05,
    },
    "topology": {"nothing": 0.4, "status": 0.2, "toggle": 0.1, "bus": 0.2, "change": 0.1},
    "dispatch": {"nothing": 0.2, "redispatch": 0.4, "storage": 0.3, "curtail": 0.1},
    "hostile": {"status": 0.15, "toggle": 0.1, "bus": 0.2, "change": 0.15, "redispatch": 0.1, "contradiction": 0.3},
}  # fmt: skip
"""How likely each random policy is to play each kind."""


def random_keys(policy: str, grid: Grid, rng: np.random.Generator) -> dict[str, Any]:
    """One random action in the keys that both worlds understand."""
    kinds = KINDS[policy]
    kind = rng.choice(list(kinds), p=list(kinds.values()))
    hostile = policy == "hostile"
    line, sub = int(rng.integers(grid.n_line)), int(rng.integers(grid.n_sub))
    size = int(grid.sub_info[sub])
    if kind == "status":
        return {"set_line_status": [(line, int(rng.choice([-1, 1, 1])))]}
    if kind == "toggle":
        return {"change_line_status": [line]}
    if kind == "bus":
        return {"set_bus": {"substations_id": [(sub, _busbars(grid, sub, rng, hostile))]}}
    if kind == "change":
        return {"change_bus": {"substations_id": [(sub, rng.random(size) < 0.3)]}}
    if kind == "contradiction":
        return _contradiction(grid, line, sub, rng)
    return _dispatch_keys(kind, grid, rng, hostile)


def random_warnings(policy: str, system: System, rng: np.random.Generator) -> dict[str, Any]:
    """Now and then some alarms or alerts, where the system has them and the policy does anything."""
    keys = {"raise_alarm": (system.dim_alarms, 0.1), "raise_alert": (system.dim_alerts, 0.4)}
    drawn = {}
    for key, (n, often) in keys.items():
        if n and policy != "nothing" and rng.random() < often:
            drawn[key] = [int(i) for i in np.flatnonzero(rng.random(n) < 0.3)]
    return drawn


def _busbars(grid: Grid, sub: int, rng: np.random.Generator, hostile: bool) -> np.ndarray:
    """Mostly back to one busbar, else a random split; a hostile one disconnects and leaves elements out."""
    size = int(grid.sub_info[sub])
    if hostile:
        return rng.integers(-1, 3, size).astype(np.int32)
    return np.ones(size, dtype=np.int32) if rng.random() < 0.5 else rng.integers(1, 3, size).astype(np.int32)


def _contradiction(grid: Grid, line: int, sub: int, rng: np.random.Generator) -> dict[str, Any]:
    """Several commands on one line, or on a substation and a line of it."""
    status = {"set_line_status": [(line, int(rng.choice([-1, 1])))]}
    end = str(rng.choice(["lines_or_id", "lines_ex_id"]))
    parts = (
        {"change_line_status": [line]},
        {"set_bus": {end: [(line, int(rng.choice([-1, 1, 2])))]}},
        {"change_bus": {end: [line]}},
        {"set_bus": {"substations_id": [(sub, _busbars(grid, sub, rng, True))]}},
        {"set_line_status": [(line, 1), ((line + 1) % grid.n_line, 1)]},
    )
    return status | parts[int(rng.integers(len(parts)))]


def _dispatch_keys(kind: str, grid: Grid, rng: np.random.Generator, hostile: bool) -> dict[str, Any]:
    """Redispatch, storage or curtailment of one unit, nothing where the grid has none."""
    if kind == "redispatch":
        gen = int(rng.choice(np.flatnonzero(grid.gen_redispatchable)))
        share = rng.uniform(-1.2, 1.2) if hostile else rng.uniform(-1, 1)
        return {"redispatch": [(gen, float(np.float32(share * grid.gen_max_ramp_up[gen])))]}
    if kind == "storage" and grid.n_storage:
        unit = int(rng.integers(grid.n_storage))
        return {"set_storage": [(unit, float(np.float32(rng.uniform(-1, 1) * grid.storage_max_p_absorb[unit])))]}
    if kind == "curtail" and grid.gen_renewable.any():
        gen = int(rng.choice(np.flatnonzero(grid.gen_renewable)))
        return {"curtail": [(gen, float(np.float32(rng.uniform(0.6, 1.0))))]}
    return {}


def commands_of(action: Any) -> Commands:
    """The commands that a Grid2Op action stands for."""
    columns = (
        (Kind.SET_LINE_STATUS, action.line_set_status, action.line_set_status != 0),
        (Kind.CHANGE_LINE_STATUS, np.ones(action.n_line), action.line_change_status),
        (Kind.SET_BUS, action.set_bus, action.set_bus != 0),
        (Kind.CHANGE_BUS, np.ones(action.dim_topo), action.change_bus),
        (Kind.REDISPATCH, action.redispatch, action.redispatch != 0),
        (Kind.CURTAIL, action.curtail, action.curtail != -1),
        (Kind.SET_STORAGE, action.set_storage, action.set_storage != 0),
        (Kind.RAISE_ALARM, np.ones(action.dim_alarms), action.raise_alarm),
        (Kind.RAISE_ALERT, np.ones(action.dim_alerts), action.raise_alert),
    )
    parts = []
    for kind, value, asked in columns:
        index = np.flatnonzero(asked).astype(np.int32)
        parts.append((np.full(len(index), kind, dtype=np.int8), index, np.asarray(value, dtype=float)[index]))
    kinds, indices, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Commands(kinds, indices, values) if len(kinds) else NO_COMMANDS


def reading(ours: Commands, theirs: Commands) -> list[str]:
    """Whether the same keys are read as other commands here."""
    here, there = (
        sorted(zip(*(np.asarray(column).tolist() for column in side), strict=True)) for side in (ours, theirs)
    )
    if len(here) == len(there) and np.allclose(np.array(here), np.array(there), rtol=1e-6):
        return []
    return [f"the action is read as {there} there, as {here} here (kind, element, value)"]
