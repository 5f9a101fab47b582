"""Rules of the user's own, asked one action at a time: slow beside the compiled ones, and right."""

from __future__ import annotations

import numpy as np

from marlgrid.model.system import System
from marlgrid.simulation.action import Action, Commands
from marlgrid.simulation.state import State, take


def forbidden(system: System, state: State, action: Action, accepted: np.ndarray) -> np.ndarray:
    """(n_env, n_zone) bool: ``accepted`` by the built-in rules, refused by one of the user's."""
    asked = accepted & (action.first < action.last)
    refused = np.zeros_like(asked)
    for e in np.flatnonzero(asked.any(axis=1)):
        seen = take(state, np.array([e]))
        for z in np.flatnonzero(asked[e]):
            refused[e, z] = not _permits(system, seen, int(z), action.commands, action.first[e, z], action.last[e, z])
    return refused


def without(action: Action, refused: np.ndarray) -> Action:
    """The joint action with the refused zones (n_env, n_zone) doing nothing."""
    return action._replace(last=np.where(refused, action.first, action.last))


def narrow(
    system: System, state: State, commands: Commands, start: np.ndarray, zone: np.ndarray, allowed: np.ndarray
) -> np.ndarray:
    """(n_env, n_action) bool: what is left of ``allowed``, see ``rules.legal``."""
    left = allowed.copy()
    for e in range(len(allowed)):
        seen = take(state, np.array([e]))
        for a in np.flatnonzero(allowed[e] & (start[:-1] < start[1:])):
            left[e, a] = _permits(system, seen, int(zone[a]), commands, start[a], start[a + 1])
    return left


def _permits(system: System, seen: State, zone: int, commands: Commands, begin: int, end: int) -> bool:
    """Whether every rule agrees; each is handed copies, so that it cannot change what it judges."""
    for rule in system.rules.own:
        answer = rule(system, seen, zone, Commands(*(column[begin:end].copy() for column in commands)))
        if not isinstance(answer, bool | np.bool_):
            name = getattr(rule, "__name__", repr(rule))
            raise TypeError(f"the rule {name} answered {answer!r}: answer True (allowed) or False (refused)")
        if not answer:
            return False
    return True
