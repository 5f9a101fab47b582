"""What an agent may answer: the action spaces of the zones, and how their elements become commands.

Every kind of space here can be used in its place, and so can an object of the user's that has the four methods of
``ZoneActions``. Beside an element of its space, a zone may always hand over ``Commands`` made by ``make_action``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from marlgrid.compiled import kernel_in_place
from marlgrid.model.system import System
from marlgrid.simulation.action import NO_COMMANDS, Action, Commands, concatenate, joint
from marlgrid.simulation.state import State
from marlgrid.task.commands import in_words, make_action
from marlgrid.task.hand_built import check_columns, checked
from marlgrid.task.menu import Component, Menu, Table, padded, table

INT64 = np.dtype(np.int64)
Mask = np.ndarray | tuple[np.ndarray, ...] | None
Choices = Sequence[Sequence[Any]]
"""``choices[zone][env]``: an element of the zone's space, or ``Commands``."""


class ZoneActions(Protocol):
    """The action spaces of all zones.

    A fifth method, ``masks_of(state, rows)``, may give masks that mean something in the environments ``rows`` (n,)
    alone, which is all that is asked for where zones decide on occasion only.
    """

    def space(self, zone: int) -> spaces.Space:
        """The action space of a zone: the same object at each call."""

    def commands(self, zone: int, element: Any) -> Commands:
        """What an element of the zone's space asks for. Raises ValueError for anything that is not one."""

    def joint(self, choices: Choices) -> Action:
        """The joint action of a batch."""

    def masks(self, state: State) -> list[Mask]:
        """By zone, (n_env, n_action) int8 of what the rules accept now, a tuple of such, or None where none exists."""


class DiscreteActions:
    """One number per zone: 0 does nothing, the others are the ready actions of a menu (or of an explicit list).

    ``actions`` replaces the menu: for each zone's name, a list of mappings for ``make_action``, or ``Commands``.
    ``pad=True`` gives all zones equally large spaces; the mask forbids what fills them up.
    """

    def __init__(
        self,
        system: System,
        menu: Menu | None = None,
        actions: Mapping[str, Sequence[Mapping[str, Any] | Commands]] | None = None,
        pad: bool = False,
    ) -> None:
        self.system = system
        lists = _from_menu(system, menu or Menu()) if actions is None else _from_lists(system, actions)
        self.n_ready = [len(ready) for ready in lists]
        self.table: Table = table(padded(system, lists) if pad else lists)
        self._sizes = np.diff(self.table.offset)
        self._parts = [slice(first, last) for first, last in pairwise(self.table.offset.tolist())]
        self._spaces: tuple[spaces.Discrete, ...] = tuple(spaces.Discrete(int(size)) for size in self._sizes)

    def space(self, zone: int) -> spaces.Discrete:
        return self._spaces[zone]

    def commands(self, zone: int, element: Any) -> Commands:
        if isinstance(element, Commands):
            return element
        number = _whole_number(element)
        if number is None or not 0 <= number < self._sizes[zone]:
            raise ValueError(
                f"{_agent(self.system, zone)} was given action {element!r}: give a whole number from 0 to "
                f"{self._sizes[zone] - 1}, or commands made by make_action"
            )
        return self.table.entry(int(self.table.offset[zone]) + number)

    def joint(self, choices: Choices) -> Action:
        table, ids = self.table, _numbers(choices)
        shape = len(choices[0]), len(choices)
        first, last = np.empty(shape, np.int32), np.empty(shape, np.int32)
        if ids is None or not _look_up(ids, table.offset, table.start, first, last):
            return joint_of(self.system, self, choices)
        return Action(table.commands, first, last)

    def masks(self, state: State, rows: np.ndarray | None = None) -> list[Mask]:
        allowed = self.table.mask(self.system, state, rows)
        return [allowed[:, part] for part in self._parts]

    masks_of = masks  # which can leave environments out

    def describe(self, zone: int, element: Any) -> str:
        """The action in words."""
        number = _whole_number(element)
        if number is not None and self.n_ready[zone] <= number < self._sizes[zone]:
            return "fills up the space: always refused"
        return in_words(self.system, self.commands(zone, element))

    def of_zone(self, zone: int) -> list[Commands]:
        """The ready actions of a zone, without what fills up a padded space."""
        return [self.table.entry(int(self.table.offset[zone]) + a) for a in range(self.n_ready[zone])]


class MultiDiscreteActions:
    """A vector of numbers per zone, one per component of the menu; 0 leaves that component alone.

    Components are: the zone's lines, its substations, then each generator and storage. Each component's mask says what
    the rules would accept of it alone; two accepted parts may still contradict each other (a line disconnected and put
    on a busbar at once), and then the zone's whole action is refused.
    """

    def __init__(self, system: System, menu: Menu | None = None) -> None:
        self.system = system
        menu = menu or Menu()
        nothing = Component("nothing", [])
        self.components = [menu.components(system, zone) or [nothing] for zone in range(system.n_zone)]
        self.table = table([[c for part in parts for c in [NO_COMMANDS, *part.options]] for parts in self.components])
        self._sizes = [np.array([1 + len(part.options) for part in parts]) for parts in self.components]
        self._starts = [
            int(self.table.offset[zone]) + np.concatenate([[0], np.cumsum(sizes)])
            for zone, sizes in enumerate(self._sizes)
        ]
        self._spaces = tuple(spaces.MultiDiscrete(sizes) for sizes in self._sizes)

    def space(self, zone: int) -> spaces.MultiDiscrete:
        return self._spaces[zone]

    def commands(self, zone: int, element: Any) -> Commands:
        if isinstance(element, Commands):
            return element
        numbers, sizes = np.asarray(element), self._sizes[zone]
        if (
            numbers.dtype.kind not in "iu"
            or numbers.shape != sizes.shape
            or (numbers < 0).any()
            or (numbers >= sizes).any()
        ):
            raise ValueError(
                f"{_agent(self.system, zone)} was given action {element!r}: give {len(sizes)} whole numbers, each "
                f"from 0 to below {sizes.tolist()}, or commands made by make_action"
            )
        chosen = self._starts[zone][:-1] + numbers
        return concatenate([self.table.entry(a) for a, number in zip(chosen, numbers, strict=True) if number])

    def joint(self, choices: Choices) -> Action:
        return joint_of(self.system, self, choices)

    def masks(self, state: State, rows: np.ndarray | None = None) -> list[Mask]:
        allowed = self.table.mask(self.system, state, rows)
        return [tuple(allowed[:, begin:end] for begin, end in pairwise(starts)) for starts in self._starts]

    masks_of = masks  # which can leave environments out

    def describe(self, zone: int, element: Any) -> str:
        """The action in words."""
        return in_words(self.system, self.commands(zone, element))


# ---------------------------------------------------------------------------------------------------- shared
def joint_of(system: System, actions: ZoneActions, choices: Choices) -> Action:
    """The joint action of a batch, element by element. Raises ValueError for commands on what does not exist."""
    n_env = len(choices[0])
    asked = [[actions.commands(zone, column[env]) for zone, column in enumerate(choices)] for env in range(n_env)]
    for commands in (commands for row in asked for commands in row):
        check_columns(commands)
    action = joint(asked)
    checked(system, action.commands)
    return action


def _from_menu(system: System, menu: Menu) -> list[list[Commands]]:
    return [
        [NO_COMMANDS, *(option for part in menu.components(system, zone) for option in part.options)]
        for zone in range(system.n_zone)
    ]


def _from_lists(system: System, actions: Mapping[str, Sequence[Mapping[str, Any] | Commands]]) -> list[list[Commands]]:
    agents = system.zones.agents
    unknown = sorted(set(actions) - set(agents))
    if unknown:
        raise ValueError(f"actions are given for {unknown}, the zones are {list(agents)}")
    return [
        [NO_COMMANDS] + [a if isinstance(a, Commands) else make_action(system, a) for a in actions.get(agent, ())]
        for agent in agents
    ]


def _agent(system: System, zone: int) -> str:
    return system.zones.agents[zone]


def _whole_number(element: Any) -> int | None:
    """A Python or NumPy whole number (also an array of no dimension), else None."""
    if isinstance(element, (int, np.integer, np.bool_)):
        return int(element)
    if isinstance(element, np.ndarray) and element.ndim == 0 and element.dtype.kind in "iu":
        return int(element)
    return None


def _numbers(choices: Choices) -> np.ndarray | None:
    """(n_zone, n_env) int64, None if the choices are no plain numbers."""
    try:
        ids: np.ndarray = np.array(choices)
    except ValueError:
        return None
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        return None
    return ids if ids.dtype == INT64 else ids.astype(np.int64)


@kernel_in_place
def _look_up(ids, offset, start, first, last):  # pragma: no cover
    """Writes where the commands of the chosen actions begin and end; false if a number is out of range."""
    for z in range(ids.shape[0]):
        for e in range(ids.shape[1]):
            if not 0 <= ids[z, e] < offset[z + 1] - offset[z]:
                return False
            first[e, z] = start[offset[z] + ids[z, e]]
            last[e, z] = start[offset[z] + ids[z, e] + 1]
    return True
