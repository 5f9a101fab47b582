"""Attackers that do what is written down: a schedule, or a recorded tape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from marlgrid.model.system import System
from marlgrid.simulation.action import Attack, no_attack
from marlgrid.simulation.rules import attack_allowed
from marlgrid.simulation.state import State
from marlgrid.task.opponents.tape import PlannedAttack, Tape, check, load, tape


@dataclass(frozen=True)
class ScheduleOpponent:
    """Attacks at given steps, given lines for given durations, the same in every episode unless a scenario is named.

    Each attack is asked for in its step alone. Where the rules allow only some of those of a step, these are asked for;
    where they allow none, all are, so that the refusal shows in the opponent's infos.
    """

    attacks: Any = ()
    """``PlannedAttack``, or tuples or mappings of its fields: (step, line's name, duration in steps)."""

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
        asked = no_attack(state.n_env, system.grid.n_line)
        for env, step in enumerate((state.t - state.t_start).tolist()):
            due = [a for a in self._due.get(step, ()) if a.scenario is None or a.scenario == state.scenario[env]]
            if due:
                asked.duration[env] = _asked(system, state, env, due)
        return asked, memory


class ReplayOpponent(ScheduleOpponent):
    """Attacks as in recorded episodes: of a tape, a file written by ``tape.save``, or an episode of Grid2Op's runner.

    Against other defenders an attack may find its line already out; then it is refused like any other (Grid2Op's
    FromEpisodeDataOpponent attacks regardless).
    """

    def _read(self, attacks: Any) -> Tape:
        return load(attacks) if isinstance(attacks, str | Path) else tape(attacks)


def _asked(system: System, state: State, env: int, due: list[PlannedAttack]) -> np.ndarray:
    """(n_line,) durations to ask for in one environment."""
    lines = [system.grid.name_line.index(attack.element) for attack in due]
    row = state.attack
    fair = np.zeros(system.grid.n_line, dtype=np.int32)
    wanted = np.zeros(system.grid.n_line, dtype=np.int32)
    for line, attack in zip(lines, due, strict=True):
        wanted[line] = attack.duration
        needed = np.zeros(len(row.cooldown), dtype=np.int32)
        needed[env] = fair.sum() + attack.duration
        if attack.duration <= system.attack.max_duration and attack_allowed(system, state, needed)[env, line]:
            fair[line] = attack.duration
    return fair if fair.any() else wanted
