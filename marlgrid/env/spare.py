"""Memory to step into: that of the state before, unless somebody was handed that state."""

from __future__ import annotations

from marlgrid.simulation.frame import Memory
from marlgrid.simulation.state import State

FEW = 16
"""Episodes that begin at once, as a rule: more would gain little, and those of long series take long to load."""


class Spare:
    """States are values to whoever is handed one: its memory is not written again. All others' memory is."""

    def __init__(self) -> None:
        self.memory: Memory | None = None
        """Free to be written, if there is any."""
        self.begun: dict[int, Memory] = {}
        """By number: of a few episodes that began, and were copied to those that go on."""
        self._lent = False

    def __reduce__(self) -> tuple[type[Spare], tuple[()]]:
        """A copy of an environment has memory of its own."""
        return Spare, ()

    def keep_begun(self, memory: Memory) -> None:
        """Of many episodes none is kept: their number is seldom the same, and each would keep as much again."""
        if memory.n_env <= FEW:
            self.begun[memory.n_env] = memory

    def lend(self) -> None:
        """The present state is handed out."""
        self._lent = True

    def left(self, state: State) -> None:
        """The environment went on from ``state``, the present one until now."""
        self.memory = None if self._lent else getattr(state, "memory", None)
        self._lent = False
