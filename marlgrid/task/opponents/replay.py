"""Attackers that do what is written down: a schedule, or a recorded tape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from marlgrid.model.system import System
from marlgrid.simulation.action import Attack, SubstationAttack
from marlgrid.simulation.rules import attack_refused
from marlgrid.simulation.state import State, take
from marlgrid.task.opponents.tape import PlannedAttack, Tape, check, load, tape


@dataclass(frozen=True)
class ScheduleOpponent:
    """Attacks given lines and substations at given steps for given durations, in every episode or in one scenario.

    Each attack is asked for in its step alone. Where the rules allow only some of those of a step, these are asked for;
    where they allow none, all are, so that the refusal shows in the opponent's infos.
    """

    attacks: Any = ()
    """``PlannedAttack``, or tuples or mappings of its fields: (step, name, duration in steps, scenario, set_bus)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "attacks", self._read(self.attacks))

    def _read(self, attacks: Any) -> Tape:
        entries: Iterable[Any] = attacks
        return tape(entries)

    @cached_property
    def _due(self) -> dict[int, Tape]:
        steps = sorted({attack.step for attack in self.attacks})
        return {step: tuple(a for a in self.attacks if a.step == step) for step in steps}

    def reset(self, system: System, state: State) -> tuple[()]:  # noqa: ARG002
        check(system, self.attacks)
        return ()

    def attack(self, system: System, state: State, memory: tuple[()]) -> tuple[Attack, tuple[()]]:
        asked = blank(system, state.n_env)
        for env, step in enumerate((state.t - state.t_start).tolist()):
            due = [a for a in self._due.get(step, ()) if a.scenario is None or a.scenario == state.scenario[env]]
            if due:
                _ask(system, state, env, due, asked)
        return asked, memory


class ReplayOpponent(ScheduleOpponent):
    """Attacks as in recorded episodes: of a tape, a file written by ``tape.save``, or an episode of Grid2Op's runner.

    Against other defenders an attack may find its line already out; then it is refused like any other (Grid2Op's
    FromEpisodeDataOpponent attacks regardless).
    """

    def _read(self, attacks: Any) -> Tape:
        return load(attacks) if isinstance(attacks, str | Path) else tape(attacks)


def _ask(system: System, state: State, env: int, due: list[PlannedAttack], asked: Attack) -> None:
    """Writes what to ask for in one environment into ``asked``."""
    lone = take(state, np.array([env]))
    fair: list[PlannedAttack] = []
    for attack in due:
        attempt = blank(system, 1)
        for part in [*fair, attack]:
            _add(system, attempt, 0, part)
        if not attack_refused(system, lone, attempt)[0]:
            fair.append(attack)
    for part in fair or due:
        _add(system, asked, env, part)


def _add(system: System, attack: Attack, env: int, planned: PlannedAttack) -> None:
    grid = system.grid
    if not planned.set_bus:
        attack.duration[env, grid.name_line.index(planned.element)] = planned.duration
    elif attack.subs is not None:
        sub = grid.name_sub.index(planned.element)
        attack.subs.duration[env, sub] = planned.duration
        attack.subs.bus[env, grid.sub_start[sub] : grid.sub_start[sub + 1]] = planned.set_bus


def blank(system: System, n_env: int) -> Attack:
    """No attack, with room for some on substations."""
    grid = system.grid
    subs = SubstationAttack(np.zeros((n_env, grid.n_sub), np.int32), np.zeros((n_env, grid.dim_topo), np.int32))
    return Attack(np.zeros((n_env, grid.n_line), np.int32), subs)
