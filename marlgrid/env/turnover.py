"""How the ended episodes of a batch are replaced: by the next ones of their environments, begun before their turn.

To begin some episodes takes little longer than to begin one, so some are begun with each that is due.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from marlgrid.env.start import Draw, drawn
from marlgrid.model.system import System
from marlgrid.simulation.frame import every, framed
from marlgrid.simulation.state import ALL, Rows, put, take
from marlgrid.task.task import Episode, Outputs


class Streams:
    """Of each environment, the draws that its episodes begin from.

    ``seed``: one per environment, or a number for seed, seed + 1, ...; each makes the stream of a single environment
    with that seed. None for streams that nobody can repeat. Raises ValueError for another number of seeds.
    """

    def __init__(self, seed: int | Sequence[int] | None, n_envs: int) -> None:
        self._rngs = _generators(seed, n_envs)
        self._returned: dict[int, Draw] = {}

    def next(self, env: int) -> Draw:
        returned = self._returned.pop(env, None)
        return drawn(self._rngs[env]) if returned is None else returned

    def give_back(self, draws: Mapping[int, Draw]) -> None:
        """Draws by environment that no episode was played from: they are the next ones again."""
        self._returned.update(draws)


class Ahead:
    """The next episodes of some environments, each in the row of its environment; the other rows hold anything.

    ``episode`` and ``outputs`` are of all environments: they say how large everything is.
    """

    def __init__(self, system: System, episode: Episode, outputs: Outputs) -> None:
        self._system = system
        self._episode, self._outputs = take(episode, every(episode.state.n_env)), outputs
        self.draws: dict[int, Draw] = {}
        """By environment, what its next episode was begun from."""

    def add(self, draws: Mapping[int, Draw], begun: Episode, outputs: Outputs) -> None:
        """Takes in as many episodes as draws."""
        rows = np.array(list(draws))
        self._episode = _replaced(self._system, self._episode, rows, begun, ALL)
        self._outputs = _shown(self._outputs, rows, outputs, ALL)
        self.draws |= draws

    def replace(self, envs: np.ndarray, episode: Episode, outputs: Outputs) -> tuple[Episode, Outputs]:
        """The episodes ``envs`` (n,) give way to their next ones, in the same memory, and so does what agents see."""
        for env in envs.tolist():
            del self.draws[env]
        # NumPy copies a slice three times as fast as a list of one
        rows = slice(envs[0], envs[0] + 1) if len(envs) == 1 else envs
        replaced = _replaced(self._system, episode, rows, self._episode, rows)
        return replaced, _shown(outputs, rows, self._outputs, rows)


def _replaced(system: System, episode: Episode, rows: Rows, other: Episode, others: Rows) -> Episode:
    """Episodes with some rows from rows of others; the states stay where they are in memory."""
    memory = framed(system, episode.state).memory
    memory.put(rows, other.state, others)
    rest = (put(old, rows, new, others) for old, new in zip(episode[1:], other[1:], strict=True))
    return Episode(memory.framed(), *rest)


def _shown(outputs: Outputs, rows: Rows, other: Outputs, others: Rows) -> Outputs:
    """Outputs with observations and masks of some rows from rows of others; what was is not written to."""
    shown = outputs._replace(asked=put(outputs.asked, rows, other.asked, others))
    if not any(other.asked[others].tolist()):
        return shown
    return shown._replace(
        observations={a: put(o, rows, other.observations[a], others) for a, o in outputs.observations.items()},
        masks={a: put(mask, rows, other.masks[a], others) for a, mask in outputs.masks.items()},
    )


def _generators(seed: int | Sequence[int] | None, n_envs: int) -> list[np.random.Generator]:
    if seed is None:
        return [np.random.default_rng() for _ in range(n_envs)]
    seeds: list[Any] = [int(seed) + i for i in range(n_envs)] if np.ndim(seed) == 0 else list(seed)  # type: ignore
    if len(seeds) != n_envs:
        raise ValueError(f"{len(seeds)} seeds were given for {n_envs} environments")
    return [np.random.default_rng(int(s)) for s in seeds]
