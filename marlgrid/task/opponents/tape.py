"""Attacks written down: planned by hand, recorded from episodes, or read from what Grid2Op's runner recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marlgrid.model.system import System
from marlgrid.simulation.action import Attack, SubstationAttack
from marlgrid.simulation.state import State


class PlannedAttack(NamedTuple):
    """One attack on one element."""

    step: int
    """Step of the episode in which it starts; the first is 0."""
    element: str
    """Name of a line, or of a substation."""
    duration: int
    """Steps."""
    scenario: int | None = None
    """The scenario it belongs to; None: every one."""
    set_bus: tuple[int, ...] = ()
    """Busbar of each element of the substation in the order of ``topo_vect``, 0 leaves one alone; empty for a line."""


Tape = tuple[PlannedAttack, ...]


def tape(entries: Iterable[PlannedAttack | Mapping[str, Any] | tuple]) -> Tape:
    """A tape of ``PlannedAttack``, mappings of its fields, or tuples in their order. Raises ValueError for others."""
    attacks = []
    for entry in entries:
        try:
            attack = PlannedAttack(**entry) if isinstance(entry, Mapping) else PlannedAttack(*entry)
            busbars = tuple(_whole(busbar, 0) for busbar in attack.set_bus)
            attack = attack._replace(step=_whole(attack.step, 0), duration=_whole(attack.duration, 1), set_bus=busbars)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{entry!r} is no attack ({error}): give step (0 or more), element (its name), duration (at least 1 "
                f"step), scenario if it belongs to one, and set_bus (busbars) on a substation"
            ) from None
        attacks.append(attack)
    return tuple(attacks)


def check(system: System, attacks: Tape) -> None:
    """Raises ValueError for elements that the grid does not have."""
    grid = system.grid
    unknown = {attack.element for attack in attacks if not attack.set_bus} - set(grid.name_line)
    if unknown:
        raise ValueError(f"attacks on unknown lines {sorted(unknown)}; the grid has {list(grid.name_line)}")
    for attack in attacks:
        if attack.set_bus and attack.element not in grid.name_sub:
            raise ValueError(f"attack on unknown substation {attack.element!r}; the grid has {list(grid.name_sub)}")
        if attack.set_bus and len(attack.set_bus) != grid.sub_info[grid.name_sub.index(attack.element)]:
            raise ValueError(f"{attack} must have {grid.sub_info[grid.name_sub.index(attack.element)]} busbars")


def record(system: System, states: Sequence[State]) -> Tape:
    """The attacks of episodes, out of their states in order (every step, the reset's first), of a batch or of one.

    Raises ValueError for two episodes of one scenario: on the tape they could not be told apart.
    """
    first = states[0]
    if len(set(first.scenario.tolist())) < first.n_env:
        raise ValueError(f"scenarios {first.scenario.tolist()} repeat: record one episode of each")
    found: list[PlannedAttack] = []
    for before, after in pairwise(states):
        attack = begun(system, before, after)
        for env in np.flatnonzero(after.t == before.t + 1).tolist():
            clock = int(before.t[env] - before.t_start[env])
            scenario = int(before.scenario[env])
            found += _written(system, attack, env, clock, scenario)
    return tuple(found)


def begun(system: System, before: State, after: State) -> Attack:
    """The attacks that took place in a step: in force in it, and not in the step before, or ended with that.

    Asked again on ``before`` they do the same; what was refused is not among them.
    """
    line, sub = (
        np.where(now > np.maximum(then - 1, 0), now, 0).astype(np.int32)
        for then, now in zip(before.attacked[:2], after.attacked[:2], strict=True)
    )
    if not sub.any():
        return Attack(line)
    moved = sub[:, system.grid.topology_layout.sub] > 0
    return Attack(line, SubstationAttack(sub, np.where(moved, after.attacked.bus, 0).astype(np.int32)))


def _written(system: System, attack: Attack, env: int, clock: int, scenario: int) -> Iterator[PlannedAttack]:
    """The attacks of one environment, each by itself."""
    grid = system.grid
    for l in np.flatnonzero(attack.duration[env]).tolist():
        yield PlannedAttack(clock, grid.name_line[l], int(attack.duration[env, l]), scenario)
    if attack.subs is None:
        return
    for s in np.flatnonzero(attack.subs.duration[env]).tolist():
        bus = attack.subs.bus[env, grid.sub_start[s] : grid.sub_start[s + 1]]
        yield PlannedAttack(clock, grid.name_sub[s], int(attack.subs.duration[env, s]), scenario, tuple(bus.tolist()))


# ---------------------------------------------------------------------- files
def save(attacks: Tape, path: str | Path) -> None:
    """Writes a tape as JSON (``.json``) or as NumPy columns (``.npz``); the name's ending says which."""
    path = Path(path)
    rows = [attack._asdict() for attack in attacks]
    if path.suffix == ".json":
        path.write_text(json.dumps({"attacks": rows}, indent=1))
    elif path.suffix == ".npz":
        columns = {
            "step": np.array([a.step for a in attacks], dtype=np.int64),
            "element": np.array([a.element for a in attacks], dtype=np.str_),
            "duration": np.array([a.duration for a in attacks], dtype=np.int64),
            "scenario": np.array([-1 if a.scenario is None else a.scenario for a in attacks], dtype=np.int64),
            "set_bus": np.array([" ".join(map(str, a.set_bus)) for a in attacks], dtype=np.str_),
        }
        np.savez_compressed(path, **columns)  # type: ignore[arg-type]
    else:
        raise ValueError(f"a tape cannot be written to {path}: end its name in .json or .npz")


def load(path: str | Path) -> Tape:
    """A tape that ``save`` wrote, or the folder of an episode that Grid2Op's ``Runner`` saved.

    Raises FileNotFoundError for what is not there, ValueError for what is no tape.
    """
    path = Path(path)
    if path.is_dir():
        return from_grid2op(path)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as columns:
                rows = zip(*(columns[name].tolist() for name in PlannedAttack._fields), strict=True)
                return tape((*row[:3], None if row[3] < 0 else row[3], tuple(map(int, row[4].split()))) for row in rows)
        return tape(json.loads(path.read_text())["attacks"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no tape of attacks ({error}): give a file written by tape.save") from error


def from_grid2op(folder: str | Path, scenario: int | None = None) -> Tape:
    """The attacks of an episode that Grid2Op's ``Runner`` saved: ``folder`` holds ``opponent_attack.npz``.

    Only attacks on line statuses (Grid2Op's PowerlineSetAction, which all its own opponents use). Grid2Op writes down
    what was under attack in each step, so two attacks on a line without a pause between them are one here. Raises
    FileNotFoundError for a missing file, ValueError for other kinds of attacks.
    """
    folder = Path(folder)
    space = json.loads((folder.parent / "dict_attack_space.json").read_text())
    kind, names = str(space["_init_subtype"]).rsplit(".", 1)[-1], space["name_line"]
    with np.load(folder / "opponent_attack.npz") as file:
        status = np.nan_to_num(file["data"])
    if not kind.startswith("PowerlineSetAction") or status.shape[1] != len(names):
        raise ValueError(f"{folder}: attacks are recorded as {kind}; only PowerlineSetAction can be read")
    runs = [run for line in range(len(names)) for run in _runs(status[:, line] < 0, names[line], scenario)]
    return tuple(sorted(runs))


def _runs(out: np.ndarray, name: str, scenario: int | None) -> Iterator[PlannedAttack]:
    """Stretches of consecutive steps in which a line is under attack."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], out.astype(np.int8), [0]])))
    for first, end in edges.reshape(-1, 2).tolist():
        yield PlannedAttack(first, name, end - first, scenario)


def _whole(value: Any, least: int) -> int:
    if isinstance(value, bool) or int(value) != value or value < least:
        raise ValueError(f"{value!r} is not a whole number of at least {least}")
    return int(value)
