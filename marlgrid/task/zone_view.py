"""What one zone sees of the grid, in the field's terms and with numbers of its own, and what its actions would do."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from marlgrid.model.system import System
from marlgrid.simulation.action import Commands
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.state import Outcome
from marlgrid.task.attributes import ATTRIBUTES
from marlgrid.task.commands import make_action
from marlgrid.task.observation import ForecastArrays, ForecastInjections, Observation
from marlgrid.task.patch import Patch, patch_of
from marlgrid.task.record import Record
from marlgrid.task.sight import Sight
from marlgrid.task.way_back import way_back

SECRET = ("attack_budget", "attack_cooldown")
"""What only the opponent knows."""
TOLD = tuple(name for name in ATTRIBUTES if name not in SECRET)


class ZoneSimulated(NamedTuple):
    """What ``ZoneObservation.simulate`` found out besides the next observation."""

    reason: Reason
    """``ACCEPTED``, or why the zone's action would be refused."""
    reward: float
    """The zone's."""
    outcome: Outcome
    disc_lines: np.ndarray
    """(n_line,) int32 wave of the cascade in which a line in view tripped, else -1."""


class ZoneObservation(Record):
    """The observation of a zone: attributes and methods of ``Observation`` for what the zone may see, read-only.

    Elements are numbered from 0 in the order of the whole grid and keep their names; ``patch`` has their numbers there.
    ``is_tie`` marks the lines between zones. Lines that leave what is seen end in substations marked ``beyond``: of
    their far end nothing is known, and reads 0 (busbar 1 while the line is in service). ``system.zones`` says whose
    each element is: a zone that sees further than its own substations still acts on its own elements alone.
    """

    def __init__(self, whole: Observation, agent: str, sight: Sight) -> None:
        agents = whole.system.zones.agents
        if agent not in agents:
            raise ValueError(f"{agent!r} is no zone; choose from {list(agents)}")
        self.agent, self.zone, self.sight = agent, agents.index(agent), sight
        self.patch = _patch(whole.system, sight, self.zone)
        self._whole = whole
        super().__init__(self.patch.system, {}, TOLD)

    def _value(self, name: str) -> Any:
        return self.patch.part(name, getattr(self._whole, name))

    @property
    def over(self) -> bool:
        """True after a game over (not after a reached time limit)."""
        return self._whole.over

    @property
    def is_tie(self) -> np.ndarray:
        """(n_line,) bool: the ends are in different zones."""
        return self.system.zones.is_tie

    @property
    def beyond(self) -> np.ndarray:
        """(n_sub,) bool: not seen, only known as the far end of a line."""
        return self.patch.beyond

    # ------------------------------------------------------------------ what if
    def make_action(self, keys: Mapping[str, Any]) -> Commands:
        """Commands for ``step``, out of a mapping in this view's numbers (or names), see ``commands.make_action``."""
        return self.patch.in_the_whole(make_action(self.system, keys))

    def simulate(
        self, action: Any = None, horizon: int = 1, others: Mapping[str, Any] | None = None
    ) -> tuple[ZoneObservation, ZoneSimulated]:
        """What the zone sees after its ``action`` if the forecast of ``horizon`` steps ahead comes true.

        ``action`` is an element of the zone's action space, commands, a mapping as for ``make_action``, or None for
        nothing. ``others`` is what is assumed of other zones, from agent to an element of its space or commands; who is
        not named does nothing. Raises ValueError as ``Observation.simulate``, and for agents that are no zones.
        """
        assumed = dict(others or {})
        strange = sorted(set(assumed) - set(self._whole.system.zones.agents) | set(assumed) & {self.agent})
        if strange:
            raise ValueError(f"others names {strange}: give actions of other zones than {self.agent}")
        after, told = self._whole.simulate({**assumed, **self._asked(action)}, horizon)
        seen = ZoneObservation(after, self.agent, self.sight)
        reason, reward = Reason(int(told.reason[self.zone])), float(told.reward[self.zone])
        return seen, ZoneSimulated(reason, reward, told.outcome, told.disc_lines[self.patch.line])

    def add_act(self, action: Any) -> Record:
        """The topology in view after ``action`` (as for ``simulate``), see ``Observation.add_act``."""
        after = self._whole.add_act(self._asked(action))
        known = {name: self.patch.part(name, getattr(after, name)) for name in ("topo_vect", "_shunt_bus", "outcome")}
        return Record(self.system, known, TOLD)

    __add__ = add_act

    def get_back_to_ref_state(self, storage_setpoint: float = 0.5) -> dict[str, list[Commands]]:
        """The zone's own actions that lead back to the reference, by kind and ready for ``step``, see ``way_back``."""
        return way_back(self, self.make_action, storage_setpoint, self.zone)

    def _asked(self, action: Any) -> dict[str, Any]:
        """The joint action in which only this zone does something."""
        if action is None:
            return {}
        space = self._whole.task.actions.space(self.zone)
        is_element = isinstance(space, spaces.Dict) and isinstance(action, Mapping) and set(action) == set(space.spaces)
        keys = isinstance(action, Mapping) and not is_element
        return {self.agent: self.make_action(action) if keys else action}

    # ------------------------------------------------------------------ forecasts
    def get_forecasted_inj(self, horizon: int = 1) -> ForecastInjections:
        """Of the generators and loads in view, see ``Observation.get_forecasted_inj``."""
        of_all, gen, load = self._whole.get_forecasted_inj(horizon), self.patch.gen, self.patch.load
        return ForecastInjections(of_all.gen_p[gen], of_all.gen_v[gen], of_all.load_p[load], of_all.load_q[load])

    def get_forecast_arrays(self) -> ForecastArrays:
        """Of the elements in view, see ``Observation.get_forecast_arrays``."""
        of_all, part = self._whole.get_forecast_arrays(), self.patch
        return ForecastArrays(
            of_all.load_p[:, part.load],
            of_all.load_q[:, part.load],
            of_all.gen_p[:, part.gen],
            of_all.gen_v[:, part.gen],
            of_all.maintenance[:, part.line],
        )


@lru_cache(maxsize=64)
def _patch(system: System, sight: Sight, zone: int) -> Patch:
    return patch_of(system, sight.subs(system, zone))
