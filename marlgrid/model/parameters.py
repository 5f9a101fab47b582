"""The numbers of the rules: Grid2Op's parameters in lower case, and the terms under which lines may be attacked."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any

OLD_NAMES = {
    "nb_timestep_powerflow_allowed": "nb_timestep_overflow_allowed",
    "nb_timestep_line_status_remodif": "nb_timestep_cooldown_line",
    "nb_timestep_topology_remodif": "nb_timestep_cooldown_sub",
}
"""Names of older Grid2Op versions."""
TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


@dataclass(frozen=True)
class Parameters:
    """Thresholds, cooldowns and quotas (Grid2Op's ``Parameters``, same names in lower case, same defaults).

    Durations are in steps, thresholds are ratios of the thermal limit.
    """

    no_overflow_disconnection: bool = False
    """True: no line is ever tripped by its protection; overflow counters still count."""
    nb_timestep_overflow_allowed: int = 2
    """A line trips when its count of consecutive overloaded steps becomes strictly greater."""
    nb_timestep_reconnection: int = 10
    """Cooldown of a line tripped by its protection."""
    nb_timestep_cooldown_line: int = 0
    """Cooldown of a line whose status an action touched."""
    nb_timestep_cooldown_sub: int = 0
    """Cooldown of a substation whose busbars an action touched."""
    hard_overflow_threshold: float = 2.0
    """A line trips at once above this ratio of its limit."""
    soft_overflow_threshold: float = 1.0
    """The delayed protection counts steps above this ratio of the limit."""
    env_dc: bool = False
    """True: the power flow is linear (DC), in the environment and in what it foresees."""
    max_sub_changed: int = 1
    """Substations that one zone may change in a step."""
    max_line_status_changed: int = 1
    """Line statuses that one zone may change in a step."""
    ignore_min_up_down_time: bool = True
    """False: a generator that starts or stops before its minimum down or up time is reported as illegal."""
    allow_dispatch_gen_switch_off: bool = True
    """False: redispatching a generator that is scheduled to stand still is refused."""
    limit_infeasible_curtailment_storage_action: bool = False
    """True: curtailment and storage are scaled back to what ramps can absorb, instead of ending the episode."""
    init_storage_capacity: float = 0.5
    """Charge at the start, as a fraction of the capacity."""
    activate_storage_loss: bool = True
    """False: no self-discharge, and both efficiencies count as 1."""
    env_does_redispatching: bool = True
    """False: redispatch is what was asked for, whatever limits and ramps; the slack generator takes the rest."""
    stop_ep_if_gen_break_constraints: bool = False
    """True: the episode ends when a dispatchable generator breaks pmin, pmax or its ramps in the solved power flow."""
    ignore_initial_state_time_serie: bool = False
    """True: an episode starts with everything on busbar 1, whatever grid and scenario say."""
    max_simulate_per_step: int = -1
    """Calls of ``Observation.simulate`` per step; -1 for any number."""
    max_simulate_per_episode: int = -1
    """Calls of ``Observation.simulate`` per episode; -1 for any number."""
    alarm_best_time: int = 12
    """Steps before a game over at which an alarm is worth most."""
    alarm_window_size: int = 12
    """Steps before and after the best time from which an alarm is worth nothing."""
    alert_time_window: int = 12
    """Steps after an attack within which a game over counts as its consequence."""

    def __post_init__(self) -> None:
        problems = list(_parameter_problems(self))
        if problems:
            raise ValueError("invalid parameters: " + "; ".join(problems))

    def changed(self, changes: Mapping[str, Any]) -> Parameters:
        """These parameters with some changed, as Grid2Op's ``parameters.json`` may write them.

        Names in any case, those of older Grid2Op versions included (the newer one counts if both are there); "true",
        "T", 1 for True and the like; 3.0 for 3. ``FORECAST_DC`` is deprecated there and has no effect.
        """
        known = {f.name: f.type for f in fields(self)}
        lowered = {key.lower(): value for key, value in changes.items()}
        if _truth("forecast_dc", lowered.pop("forecast_dc", False)):
            warnings.warn("FORECAST_DC is deprecated and has no effect", DeprecationWarning, stacklevel=2)
        old = {OLD_NAMES[name]: lowered.pop(name) for name in OLD_NAMES if name in lowered}
        lowered = old | lowered
        unknown = sorted(set(lowered) - set(known))
        if unknown:
            raise ValueError(f"unknown parameter(s) {unknown}; choose from {sorted(known)}")
        return replace(self, **{name: _read(name, known[name], value) for name, value in lowered.items()})


def _read(name: str, kind: Any, value: Any) -> Any:
    """The value in the type of the parameter, where it says nothing else."""
    if kind == "bool":
        return _truth(name, value)
    return int(value) if kind == "int" and isinstance(value, float) and value.is_integer() else value


def _truth(name: str, value: Any) -> bool:
    truth = TRUTHS.get(str(value).strip().lower())
    if truth is None:
        raise ValueError(f"{name} is {value!r}, give True or False")
    return truth


def _parameter_problems(parameters: Parameters) -> Iterator[str]:
    """One sentence per parameter out of its range."""
    lowest = {"max_simulate_per_step": -1, "max_simulate_per_episode": -1}
    lowest |= dict.fromkeys(("alarm_best_time", "alarm_window_size", "alert_time_window"), 1)
    wrong_type = False
    for f in fields(parameters):
        value = getattr(parameters, f.name)
        least = lowest.get(f.name, 0)
        if f.type == "bool" and not isinstance(value, bool):
            yield f"{f.name} is {value!r}, give True or False"
        elif f.type == "int" and (isinstance(value, bool) or not isinstance(value, Integral) or value < least):
            yield f"{f.name} is {value!r}, give a whole number of at least {least}"
        elif f.type == "float" and (isinstance(value, bool) or not isinstance(value, Real)):
            wrong_type = True
            yield f"{f.name} is {value!r}, give a number"
    if wrong_type:
        return
    if not parameters.hard_overflow_threshold >= 1:
        yield f"hard_overflow_threshold is {parameters.hard_overflow_threshold}, give a ratio of at least 1"
    if not 0 < parameters.soft_overflow_threshold < parameters.hard_overflow_threshold:
        yield (
            f"soft_overflow_threshold is {parameters.soft_overflow_threshold}, give a ratio above 0 and below "
            f"hard_overflow_threshold ({parameters.hard_overflow_threshold})"
        )
    if not 0 <= parameters.init_storage_capacity <= 1:
        yield f"init_storage_capacity is {parameters.init_storage_capacity}, give a fraction in [0, 1]"


@dataclass(frozen=True)
class AttackRules:
    """What the opponent may do: which lines, how long, how often, at what price.

    An attack of ``n`` lines costs ``n`` units of budget in every step it lasts, and may start only if the budget
    covers its whole duration (Grid2Op's ``OpponentSpace``). Unlike Grid2Op the cooldown is clean: after an attack
    starts, the next one may start ``cooldown`` steps later, however long the opponent waited before.
    """

    lines: tuple[str, ...] = ()
    """Names of the attackable lines."""
    max_duration: int = 48
    """Longest attack, in steps; the default of an attack that names no duration."""
    cooldown: int = 96
    """Steps between the starts of two attacks."""
    initial_budget: float = 48.0
    """Budget at the start of an episode, in line-steps."""
    budget_per_step: float = 0.5
    """Budget gained each step, in line-steps."""

    subs: tuple[str, ...] = ()
    """Names of the substations whose busbars may be attacked: for a unit of budget and step each, as a line."""

    def __post_init__(self) -> None:
        if self.max_duration < 1:
            raise ValueError(f"attack max_duration is {self.max_duration} steps, give at least 1")
        if self.cooldown < 0 or self.initial_budget < 0 or self.budget_per_step < 0:
            raise ValueError(
                f"attack cooldown ({self.cooldown}), initial_budget ({self.initial_budget}) and budget_per_step "
                f"({self.budget_per_step}) must not be negative"
            )
