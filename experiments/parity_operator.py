"""A scripted operator: it puts lines back, relieves overloads, and goes through every kind of action in turn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from marlgrid.model.system import System
from marlgrid.powerflow.base import PowerFlow
from marlgrid.simulation.action import joint, no_attack
from marlgrid.simulation.state import State
from marlgrid.simulation.step import advance
from marlgrid.task.commands import make_action

Keys = dict[str, Any]
N_TRY = 6
"""Draws of a kind of action before the operator passes on."""


class Operator:
    """Plays an action only if the forecast says that it is legal, loses nothing and overloads no further line."""

    def __init__(self, system: System, solver: PowerFlow, seed: int = 0) -> None:
        self.system, self.solver, self.grid = system, solver, system.grid
        self.rng, self.turn = np.random.default_rng(seed), count()
        duties = (
            self._split, self._redispatch, self._open, self._store, self._join, self._curtail, self._swap,
            self._everything, self._warn, self._toggle, self._release, self._join_by_place, self._give_back,
        )  # fmt: skip
        self.duties = duties

    def keys(self, state: State, expected: Any) -> Keys:
        """What to do now; ``expected`` are the injections of the next row."""
        for keys in self._wishes(state):
            if self._fine(state, expected, keys):
                return keys
        return {}

    def _wishes(self, state: State) -> Iterator[Keys]:
        """In order of preference."""
        turn = next(self.turn)
        yield from self._reconnections(state, turn)
        if state.rho.max() > 1:
            yield from (self._redispatch(state) for _ in range(N_TRY))
        for _ in range(N_TRY):
            yield self.duties[turn % len(self.duties)](state)

    def _fine(self, state: State, expected: Any, keys: Keys) -> bool:
        if not keys:
            return False
        asked, nobody = joint([[make_action(self.system, keys)]]), no_attack(1, self.grid.n_line)
        after, ruling = advance(self.system, self.solver, state, expected, asked, nobody)
        accepted = bool(ruling.accepted.all()) and not after.lost[0]
        return accepted and (after.rho[0] > 1).sum() <= (state.rho[0] > 1).sum()

    def _warn(self, state: State) -> Keys:
        """Alarms where there are areas, alerts on attackable lines: of what is loaded most."""
        keys: Keys = {}
        if self.system.dim_alarms:
            keys["raise_alarm"] = [int(self.rng.integers(self.system.dim_alarms))]
        if self.system.dim_alerts:
            keys["raise_alert"] = [int(state.rho[0, self.system.alert_line].argmax())]
        return keys

    # ------------------------------------------------------------------ lines
    def _reconnections(self, state: State, turn: int) -> Iterator[Keys]:
        """Each way to put back a line, in turn."""
        topo, grid = state.topology, self.grid
        off = topo.topo_vect[0, grid.line_or_pos_topo_vect] < 0
        ready = off & (state.counters.time_before_cooldown_line[0] == 0) & (state.attack.remaining[0] == 0)
        for line in map(int, np.flatnonzero(ready)):
            bus = int(topo.last_bus[0, grid.line_or_pos_topo_vect[line]])
            ways: tuple[Keys, ...] = (
                {"set_line_status": [(line, 1)]},
                {"change_line_status": [line]},
                {"set_bus": {"lines_or_id": [(line, bus)]}},
                {"set_line_status": [(line, 1)], "set_bus": {"lines_ex_id": [(line, 1)]}},
            )
            yield ways[turn % len(ways)]

    def _lightest(self, state: State) -> int:
        """One of the least loaded lines in service."""
        on = np.flatnonzero(state.topology.topo_vect[0, self.grid.line_or_pos_topo_vect] > 0)
        light = on[np.argsort(state.rho[0, on])][: max(len(on) // 3, 1)]
        return int(self.rng.choice(light))

    def _open(self, state: State) -> Keys:
        line = self._lightest(state)
        if self.rng.random() < 0.5:
            return {"set_line_status": {self.grid.name_line[line]: -1}}
        return {"set_bus": {"lines_ex_id": [(line, -1)]}}

    def _toggle(self, state: State) -> Keys:
        return {"change_line_status": [self._lightest(state)]}

    # ------------------------------------------------------------------ busbars
    def _split(self, state: State) -> Keys:
        """A substation in two halves."""
        sub = int(self.rng.choice(np.flatnonzero(self.grid.sub_info >= 4)))
        busbars = self.rng.permutation(np.arange(self.grid.sub_info[sub]) % 2) + 1
        now = state.topology.topo_vect[0, self._places(sub)]
        return {"set_bus": {"substations_id": [(sub, np.where(now < 0, 0, busbars).astype(np.int32))]}}

    def _swap(self, state: State) -> Keys:
        """Some elements of a substation to the other busbar."""
        sub = int(self.rng.choice(np.flatnonzero(self.grid.sub_info >= 4)))
        connected = state.topology.topo_vect[0, self._places(sub)] > 0
        return {"change_bus": {"substations_id": [(sub, connected & (self.rng.random(len(connected)) < 0.5))]}}

    def _join(self, state: State) -> Keys:
        """A split substation on one busbar again."""
        sub = self._split_one(state)
        if sub is None:
            return {}
        now = state.topology.topo_vect[0, self._places(sub)]
        return {"set_bus": {"substations_id": [(sub, (now > 0).astype(np.int32))]}}

    def _join_by_place(self, state: State) -> Keys:
        """The same, element by element."""
        sub, grid = self._split_one(state), self.grid
        if sub is None:
            return {}
        by_kind = {
            "loads_id": grid.load_pos_topo_vect, "generators_id": grid.gen_pos_topo_vect,
            "lines_or_id": grid.line_or_pos_topo_vect, "lines_ex_id": grid.line_ex_pos_topo_vect,
            "storages_id": grid.storage_pos_topo_vect,
        }  # fmt: skip
        here = np.isin(np.arange(grid.dim_topo), self._places(sub)) & (state.topology.topo_vect[0] == 2)
        moved = {kind: [(int(i), 1) for i in np.flatnonzero(here[places])] for kind, places in by_kind.items()}
        return {"set_bus": {kind: pairs for kind, pairs in moved.items() if pairs}}

    def _split_one(self, state: State) -> int | None:
        subs = np.unique(self.grid.topology_layout.sub[state.topology.topo_vect[0] == 2])
        return int(self.rng.choice(subs)) if len(subs) else None

    def _places(self, sub: int) -> np.ndarray:
        return np.arange(self.grid.sub_start[sub], self.grid.sub_start[sub + 1])

    # ------------------------------------------------------------------ dispatch
    def _redispatch(self, state: State) -> Keys:
        """One generator up, another down."""
        able = np.flatnonzero(self.grid.gen_redispatchable & (state.dispatch.scheduled_p[0] > 0))
        if len(able) < 2:
            return {}
        up, down = map(int, self.rng.choice(able, 2, replace=False))
        size = 0.3 * min(self.grid.gen_max_ramp_up[up], self.grid.gen_max_ramp_down[down])
        return {"redispatch": [(up, _single(size)), (down, _single(-size))]}

    def _give_back(self, state: State) -> Keys:
        """Targets towards zero again."""
        target, grid = state.dispatch.target[0], self.grid
        back = np.clip(-target, -0.5 * grid.gen_max_ramp_down, 0.5 * grid.gen_max_ramp_up)
        asked = [(int(g), _single(back[g])) for g in np.flatnonzero(np.abs(back) > 0.01)]
        return {"redispatch": asked} if asked else {}

    def _store(self, state: State) -> Keys:
        """All storages charge or discharge, towards half of what they hold."""
        grid = self.grid
        if not grid.n_storage:
            return {}
        low = state.dispatch.storage_charge[0] < 0.5 * grid.storage_emax
        power = np.where(low, grid.storage_max_p_absorb, -np.asarray(grid.storage_max_p_prod)) * self.rng.uniform(
            0, 0.4
        )
        return {"set_storage": [(i, _single(p)) for i, p in enumerate(power)]}

    def _curtail(self, state: State) -> Keys:
        """A renewable a little below what it makes."""
        able = np.flatnonzero(self.grid.gen_renewable & (state.flow.gen_p[0] > 0.05 * self.grid.gen_pmax))
        if not len(able):
            return {}
        gen = int(self.rng.choice(able))
        return {"curtail": [(gen, _single(0.95 * state.flow.gen_p[0, gen] / self.grid.gen_pmax[gen]))]}

    def _release(self, state: State) -> Keys:
        capped = np.flatnonzero(state.dispatch.curtailment_limit[0] < 1)
        return {"curtail": [(int(g), 1.0) for g in capped]} if len(capped) else {}

    def _everything(self, state: State) -> Keys:
        """Topology and all of dispatch in one action."""
        return self._split(state) | self._redispatch(state) | self._curtail(state) | self._store(state)


def _single(value: float) -> float:
    """What single precision keeps of it: both worlds read the same number."""
    return float(np.float32(value))
