"""Plug-ins out of what users write: action spaces and observations by name, by settings, or as objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.task.actions import DiscreteActions, MultiDiscreteActions, ZoneActions
from marlgrid.task.continuous import CONTINUOUS, BoxActions, DictActions
from marlgrid.task.features import ObservationFn, VectorObservation
from marlgrid.task.menu import Menu

ActionSpec = str | Mapping[str, Any] | Menu | ZoneActions | Callable[[System], ZoneActions]
ObservationSpec = str | Mapping[str, Any] | ObservationFn | Callable[[System, TimeSeries], ObservationFn]

ACTION_SPACES = ("discrete", "multi_discrete", "box", "dict")
MENU_SETTINGS = tuple(field.name for field in fields(Menu))
OBSERVATION_SETTINGS = ("scope", "hops", "attributes", "normalise", "noise", "pad")


def actions_from(spec: ActionSpec, system: System, pad: bool) -> ZoneActions:
    """Action spaces out of a name, settings, a menu, explicit lists by zone, an object, or a function of the system.

    Raises ValueError for unknown names and settings, TypeError for anything else.
    """
    if isinstance(spec, Menu):
        return DiscreteActions(system, spec, pad=pad)
    if isinstance(spec, str):
        return _action_space(spec, system, {}, pad)
    if isinstance(spec, Mapping):
        if spec and set(spec) <= set(system.zones.agents):
            return DiscreteActions(system, actions=spec, pad=pad)
        settings = dict(spec)
        return _action_space(settings.pop("space", "discrete"), system, settings, pad)
    if all(callable(getattr(spec, name, None)) for name in ("space", "joint", "masks")):
        return spec  # type: ignore[return-value]
    if callable(spec):
        return spec(system)
    raise TypeError(
        f"actions is a {type(spec).__name__}; give one of {list(ACTION_SPACES)}, a dict of settings, a dict of lists "
        "by zone, or an object with space, commands, joint and masks"
    )


def _action_space(name: str, system: System, settings: dict[str, Any], pad: bool) -> ZoneActions:
    """One of the built-in kinds of space."""
    if name not in ACTION_SPACES:
        raise ValueError(f"unknown action space {name!r}; choose from {list(ACTION_SPACES)}")
    pad = settings.pop("pad", pad)
    unknown = sorted(set(settings) - set(MENU_SETTINGS))
    if unknown:
        raise ValueError(
            f"unknown setting(s) or zone(s) {unknown} of actions; choose from {['space', 'pad', *MENU_SETTINGS]}, "
            f"or give a list for each of {list(system.zones.agents)}"
        )
    if pad and name != "discrete":
        raise ValueError(f"only discrete actions can be padded to equal spaces, not {name!r}")
    if name == "box":
        extra = sorted(set(settings) - {"kinds"})
        if extra:
            raise ValueError(f"actions='box' has no setting {extra}; it takes kinds, out of {list(CONTINUOUS)}")
        return BoxActions(system, tuple(settings.get("kinds", CONTINUOUS)))
    levels: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()}
    menu = Menu(**levels)
    if name == "discrete":
        return DiscreteActions(system, menu, pad=pad)
    return MultiDiscreteActions(system, menu) if name == "multi_discrete" else DictActions(system, menu)


def observation_from(
    spec: ObservationSpec, system: System, series: TimeSeries, pad: bool, opponent: bool = True
) -> ObservationFn:
    """Observations out of a scope's name, settings, an object, or a function of system and series.

    ``opponent``: whether ``opponent_0`` sees, too.

    Raises ValueError for unknown names and settings, TypeError for anything else.
    """
    if isinstance(spec, str):
        return VectorObservation(system, series, scope=spec, pad=pad, opponent=opponent)
    if isinstance(spec, Mapping):
        unknown = sorted(set(spec) - set(OBSERVATION_SETTINGS))
        if unknown:
            raise ValueError(f"unknown setting(s) {unknown} of observation; choose from {list(OBSERVATION_SETTINGS)}")
        return VectorObservation(system, series, **{"pad": pad, **spec}, opponent=opponent)
    if all(callable(getattr(spec, name, None)) for name in ("space", "observe", "central_state")):
        return spec  # type: ignore[return-value]
    if callable(spec):
        return spec(system, series)
    raise TypeError(
        f"observation is a {type(spec).__name__}; give 'local', 'neighbourhood' or 'global', a dict of settings "
        f"{list(OBSERVATION_SETTINGS)}, or an object with space, observe, state_space and central_state"
    )
