"""The memory of a step: a batch of states and the ruling that led to them, as views of one block.

A step is a few compiled calls that write into one such block, one after another; whoever steps again and again keeps
two of them and lets each step write into the one that the last step read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import numpy as np

from marlgrid.blocks import Layout
from marlgrid.model.system import System
from marlgrid.powerflow.base import PowerFlowInput
from marlgrid.powerflow.problem import places_of
from marlgrid.simulation.state import ALL, Rows, State


class Ruling(NamedTuple):
    """What became of the asked actions and attack."""

    reason: Annotated[np.ndarray, "zone", "i1"]
    """(n_env, n_zone) int8 ``Reason``."""
    accepted: Annotated[np.ndarray, "zone", "?"]
    """(n_env, n_zone) bool."""
    attack_refused: Annotated[np.ndarray, "env", "?"]
    """(n_env,) bool: an attack was asked for and refused."""
    attacked: Annotated[np.ndarray, "line", "i4"]
    """(n_env, n_line) int32 steps under attack, this one included; 0 when not attacked."""
    line_impacted: Annotated[np.ndarray, "line", "?"]
    """(n_env, n_line) bool: an accepted action touched the status."""
    sub_impacted: Annotated[np.ndarray, "sub", "?"]
    """(n_env, n_sub) bool: an accepted action touched the busbars."""


class Frame(NamedTuple):
    """Everything that a step writes."""

    state: State
    ruling: Ruling
    ran: Annotated[np.ndarray, "env", "?"]
    """(n_env,) bool: running when the step began."""
    pending: Annotated[np.ndarray, "env", "?"]
    """(n_env,) bool: its power flow is still to be solved."""
    counted: Annotated[np.ndarray, "line", "?"]
    """(n_env, n_line) bool: found above the soft threshold in this step."""
    too_soon: Annotated[np.ndarray, "gen", "?"]
    """(n_env, n_gen) bool: started or stopped before its minimum time."""


LAYOUT = Layout(Frame)
view_frame = LAYOUT.view
"""Compiled: the frame of a block."""
STATE = slice(sum(field.path[0] == "state" for field in LAYOUT.fields))
"""The fields of a frame that are its state."""


class FramedState(State):
    """A state made of views of ``memory``. A copy with something replaced is a plain state again."""

    memory: Memory

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is a plain state."""
        return State._make, (tuple(self),)


_PLACES: dict[tuple[int, ...], np.ndarray] = {}
"""``Memory.places`` by sizes."""


class Memory:
    """A frame for ``n_env`` environments, to be written again and again."""

    __slots__ = ("block", "frame", "inputs", "n_env", "numbers", "places", "sizes", "state", "system")

    def __init__(self, system: System, n_env: int) -> None:
        self.system, self.n_env = system, n_env
        self.sizes = (n_env, *system.sizes.values())
        self.block, self.frame = LAYOUT.new(env=n_env, **system.sizes)
        self.state = self.frame.state
        self.inputs = power_flow_input(self.state, self.state.topology.topo_vect)
        self.numbers = self.block.view(np.float64)
        """The block as one array of numbers."""
        if self.sizes not in _PLACES:
            _PLACES[self.sizes] = places_of(self.block, self.inputs, self.state.flow)
        self.places = _PLACES[self.sizes]
        """Where in the block the power flow of the state stands, see ``places_of``."""

    def __reduce__(self) -> Any:
        raise TypeError("the arrays of a frame are views of its block: copy the state, not its memory")

    def load(self, state: State) -> None:
        """Takes over the values of a state."""
        other = getattr(state, "memory", None)
        if other is not None and other.sizes == self.sizes:
            self.block[:] = other.block
        else:
            _copy(state, self.state)

    def put(self, rows: Rows, state: State, others: Rows = ALL) -> None:
        """Replaces some rows by rows of another batch, as many, by default all."""
        other = getattr(state, "memory", None)
        if other is not None and other.sizes[1:] == self.sizes[1:]:
            LAYOUT.copy_rows(other.block, every(other.n_env)[others], self.block, every(self.n_env)[rows], STATE)
        else:
            _copy(state, self.state, rows, others)

    def repeat(self, other: Memory) -> None:
        """Makes every environment like the first one of another frame."""
        LAYOUT.copy_rows(other.block, np.zeros(self.n_env, dtype=np.int64), self.block, every(self.n_env))

    def taken(self, rows: Rows) -> FramedState:
        """The rows of the state, in memory of their own."""
        chosen = every(self.n_env)[rows]
        memory = Memory(self.system, len(chosen))
        LAYOUT.copy_rows(self.block, chosen, memory.block, every(len(chosen)))
        return memory.framed()

    def replaced(self, rows: Rows, state: State, others: Rows = ALL) -> FramedState:
        """The state with some rows from rows of another, in memory of its own."""
        memory = Memory(self.system, self.n_env)
        memory.block[:] = self.block
        memory.put(rows, state, others)
        return memory.framed()

    def framed(self) -> FramedState:
        """The state, with word of where it stands."""
        state: FramedState = tuple.__new__(FramedState, self.state)  # as _make, which counts the fields once more
        state.memory = self
        return state


def power_flow_input(state: State, topo_vect: np.ndarray) -> PowerFlowInput:
    """What the power flow of a state takes, with the elements on the busbars of ``topo_vect``."""
    return PowerFlowInput(
        topo_vect=topo_vect,
        shunt_bus=state.topology.shunt_bus,
        gen_p=state.dispatch.setpoint,
        gen_v=state.injections.gen_v,
        load_p=state.injections.load_p,
        load_q=state.injections.load_q,
        storage_p=state.dispatch.storage_power,
    )


@lru_cache(maxsize=64)
def every(n_env: int) -> np.ndarray:
    """(n_env,) int64 numbers of all environments of a batch. Not to be written to."""
    return np.arange(n_env)


def framed(system: System, state: State) -> FramedState:
    """The state itself if it stands in one block, else a copy that does."""
    if getattr(state, "memory", None) is not None:
        return state  # type: ignore[return-value]
    memory = Memory(system, state.n_env)
    memory.load(state)
    return memory.framed()


def _copy(source: tuple, target: tuple, rows: Any = ..., others: Any = ...) -> None:
    for old, new in zip(source, target, strict=True):
        if isinstance(old, tuple):
            _copy(old, new, rows, others)
        else:
            new[rows] = old[others]
