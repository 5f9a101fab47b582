"""The attackers by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from marlgrid.model.system import System
from marlgrid.task.opponents.base import NoOpponent, Opponent
from marlgrid.task.opponents.geometric import GeometricOpponent, MultiAreaOpponent
from marlgrid.task.opponents.replay import ReplayOpponent, ScheduleOpponent
from marlgrid.task.opponents.single import RandomOpponent, WeightedOpponent
from marlgrid.task.opponents.worst_case import WorstCaseOpponent

OPPONENTS: dict[str, type] = {
    "none": NoOpponent,
    "random": RandomOpponent,
    "weighted": WeightedOpponent,
    "geometric": GeometricOpponent,
    "multi-area": MultiAreaOpponent,
    "worst-case": WorstCaseOpponent,
    "schedule": ScheduleOpponent,
    "replay": ReplayOpponent,
}
"""``schedule`` and ``replay`` attack nothing unless they are made with what to attack."""
OWN = "case"
"""Stands for the attacker that the data set comes with."""


OpponentSpec = str | Mapping[str, Any] | Opponent | None


def opponent_from(spec: OpponentSpec, system: System | None = None) -> Opponent:
    """An attacker by its name, a dict of its name and settings, or the object itself; None never attacks.

    ``"case"`` is the attacker that the system comes with, and where its name is given, its settings hold too. Raises
    ValueError for an unknown name or setting, TypeError for what is no opponent.
    """
    if spec is None:
        return NoOpponent()
    if isinstance(spec, str):
        spec = {"name": spec}
    if isinstance(spec, Mapping):
        own = system.attacker if system is not None else None
        name = spec.get("name")
        name = own.name if own is not None and name == OWN else name
        if name not in OPPONENTS:
            raise ValueError(f"unknown opponent {name!r}; choose from {[*sorted(OPPONENTS), OWN]}, or give an object")
        settings = dict(own.settings) if own is not None and name == own.name else {}
        settings.update((key, value) for key, value in spec.items() if key != "name")
        known = [field.name for field in fields(OPPONENTS[name])]
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise ValueError(f"opponent {name!r} has no setting {unknown}; it has {known}")
        made: Opponent = OPPONENTS[name](**settings)
        return made
    if not (callable(getattr(spec, "reset", None)) and callable(getattr(spec, "attack", None))):
        raise TypeError(
            f"{spec!r} is no opponent: give a name ({sorted(OPPONENTS)}), a dict of name and settings, or an object "
            f"with reset and attack"
        )
    return spec
