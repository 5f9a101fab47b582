"""Where a state here and an observation of Grid2Op differ, in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.parity_step import Step
from marlgrid.simulation import Reason
from marlgrid.simulation.state import Outcome, State

EXACT = (
    "topo_vect", "time_before_cooldown_line", "time_before_cooldown_sub", "timestep_overflow",
    "timestep_protection_engaged", "time_next_maintenance", "duration_next_maintenance",
)  # fmt: skip
ALARM = (
    "is_alarm_illegal", "time_since_last_alarm", "last_alarm", "attention_budget", "was_alarm_used_after_game_over",
)  # fmt: skip
ALERT = (
    "active_alert", "attack_under_alert", "time_since_last_alert", "alert_duration", "total_number_of_alert",
    "time_since_last_attack", "was_alert_used_after_attack",
)  # fmt: skip
"""Exact too; the budget is single precision in both."""
TOLERANCE = 1e-3
"""Relative, of everything that is not an integer: Grid2Op tells in single precision."""


def attributes(state: State) -> dict[str, np.ndarray]:
    """Row 0 of the state under the names of Grid2Op's observation."""
    flow, counters, dispatch = state.flow, state.counters, state.dispatch
    told = {name: getattr(flow, name) for name in FLOWS}
    told |= {name: getattr(counters, name) for name in counters._fields}
    told |= {name: getattr(state.alarm, name) for name in ALARM}
    told |= {name: getattr(state.alert, name) for name in ALERT}
    told |= {
        "topo_vect": state.topology.topo_vect,
        "rho": state.rho,
        "time_next_maintenance": state.injections.time_next_maintenance,
        "duration_next_maintenance": state.injections.duration_next_maintenance,
        "target_dispatch": dispatch.target,
        "actual_dispatch": dispatch.actual,
        "storage_charge": dispatch.storage_charge,
        "storage_power": dispatch.storage_power,
        "storage_power_target": dispatch.storage_power_target,
        "gen_p_before_curtail": dispatch.p_before_curtail,
        "curtailment_limit": dispatch.curtailment_limit,
        "curtailment_limit_effective": dispatch.curtailment_limit_effective,
    }
    return {name: np.atleast_1d(array[0]) for name, array in told.items()}


FLOWS = (
    "p_or", "q_or", "v_or", "a_or", "theta_or", "p_ex", "q_ex", "v_ex", "a_ex", "theta_ex",
    "gen_p", "gen_q", "gen_v", "gen_theta", "load_p", "load_q", "load_v", "load_theta", "storage_theta",
)  # fmt: skip


def differences(state: State, observation: Any, but: tuple[str, ...] = ()) -> list[str]:
    """The attributes that differ, with the element that differs most."""
    problems = []
    for name, ours in attributes(state).items():
        theirs = np.asarray(getattr(observation, name), dtype=float)
        if theirs.size == 0 or name in but:
            continue
        allowed = 0.0 if name in EXACT + ALARM + ALERT else TOLERANCE * np.maximum(np.abs(theirs), 1.0)
        excess = np.abs(ours - theirs) - allowed
        i = int(excess.argmax())
        if excess[i] > 0 or np.isnan(excess).any():
            problems.append(f"{name}[{i}] there {theirs[i]:g}, here {ours[i]:g}")
    return problems


def verdicts(ours: Step, done: bool, info: dict) -> list[str]:
    """How the verdicts on the action, the end and the trips differ."""
    reason, outcome = Reason(int(ours.ruling.reason[0, 0])), Outcome(int(ours.state.outcome[0]))
    tripped = ours.state.disc_lines[0]
    flags = ("is_illegal", "is_ambiguous", "failed_redispatching", "is_illegal_reco")
    refused = any(info[flag] for flag in flags)
    problems = []
    if not done and refused != (reason is not Reason.ACCEPTED):
        problems.append(f"refused there {refused} ({_reasons(info)}), here {reason.name}")
    if done != (outcome is not Outcome.RUNNING):
        problems.append(f"over there {done} ({_reasons(info)}), here {outcome.name} ({reason.name})")
    if not done and (info["disc_lines"] != tripped).any():
        problems.append(f"trips there {info['disc_lines']}, here {tripped}")
    return problems


def _reasons(info: dict) -> str:
    return ", ".join(type(error).__name__ for error in info["exception"]) or "no exception"
