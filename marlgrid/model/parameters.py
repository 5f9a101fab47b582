"""The numbers of the rules: Grid2Op's parameters in lower case, and the terms under which lines may be attacked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any


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
    """True: the power flow is linear (DC)."""
    max_sub_changed: int = 1
    """Substations that one zone may change in a step."""
    max_line_status_changed: int = 1
    """Line statuses that one zone may change in a step."""
    ignore_min_up_down_time: bool = True
    """False is refused: minimum up and down times of generators are not enforced."""
    allow_dispatch_gen_switch_off: bool = True
    limit_infeasible_curtailment_storage_action: bool = False
    """True: curtailment and storage are scaled back to what ramps can absorb, instead of ending the episode."""
    init_storage_capacity: float = 0.5
    """Charge at the start, as a fraction of the capacity."""
    activate_storage_loss: bool = True
    """False: no self-discharge, and both efficiencies count as 1."""

    def __post_init__(self) -> None:
        problems = list(_parameter_problems(self))
        if problems:
            raise ValueError("invalid parameters: " + "; ".join(problems))

    def changed(self, changes: Mapping[str, Any]) -> Parameters:
        """These parameters with some changed; names in any case (Grid2Op writes them in capitals)."""
        known = {f.name for f in fields(self)}
        lowered = {key.lower(): value for key, value in changes.items()}
        unknown = sorted(set(lowered) - known)
        if unknown:
            raise ValueError(f"unknown parameter(s) {unknown}; choose from {sorted(known)}")
        return replace(self, **lowered)


def _parameter_problems(parameters: Parameters) -> Iterator[str]:
    """One sentence per parameter out of its range."""
    for name in (
        "nb_timestep_overflow_allowed",
        "nb_timestep_reconnection",
        "nb_timestep_cooldown_line",
        "nb_timestep_cooldown_sub",
        "max_sub_changed",
        "max_line_status_changed",
    ):
        value = getattr(parameters, name)
        if isinstance(value, bool) or int(value) != value or value < 0:
            yield f"{name} is {value!r}, give a whole number of at least 0"
    if not parameters.hard_overflow_threshold >= 1:
        yield f"hard_overflow_threshold is {parameters.hard_overflow_threshold}, give a ratio of at least 1"
    if not 0 < parameters.soft_overflow_threshold < parameters.hard_overflow_threshold:
        yield (
            f"soft_overflow_threshold is {parameters.soft_overflow_threshold}, give a ratio above 0 and below "
            f"hard_overflow_threshold ({parameters.hard_overflow_threshold})"
        )
    if not parameters.ignore_min_up_down_time:
        yield "ignore_min_up_down_time is False, but minimum up and down times are not enforced: leave it True"
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

    def __post_init__(self) -> None:
        if self.max_duration < 1:
            raise ValueError(f"attack max_duration is {self.max_duration} steps, give at least 1")
        if self.cooldown < 0 or self.initial_budget < 0 or self.budget_per_step < 0:
            raise ValueError(
                f"attack cooldown ({self.cooldown}), initial_budget ({self.initial_budget}) and budget_per_step "
                f"({self.budget_per_step}) must not be negative"
            )
