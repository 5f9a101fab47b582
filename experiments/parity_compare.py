"""Where a state here and an observation of Grid2Op differ, in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np

from experiments.parity_step import Step
from marlgrid.simulation import Reason
from marlgrid.simulation.state import Outcome
from marlgrid.task.attributes import ATTRIBUTES
from marlgrid.task.observation import Observation

CLOCK = ("year", "month", "day", "hour_of_day", "minute_of_hour", "day_of_week")
"""Compared as one time: Grid2Op's is one interval ahead of its data."""
OURS = ("attack_remaining", "attack_remaining_sub", "attack_budget", "attack_cooldown", "disc_lines", "outcome")
"""Not in Grid2Op's observation; trips and end are compared with its info."""
ALERT = (
    "active_alert", "attack_under_alert", "time_since_last_alert", "alert_duration", "total_number_of_alert",
    "time_since_last_attack", "was_alert_used_after_attack",
)  # fmt: skip
NEVER_WRITTEN = "alerts-after-game-over"
"""Exclusion: ``attack_under_alert`` of a lost grid, memory that Grid2Op never writes."""
SHUNT_NAMES = ("_shunt_p", "_shunt_q", "_shunt_v", "_shunt_bus")
SHUNTS = "shunts-out-of-service"
"""Exclusion: Grid2Op lists shunts that are out of service, here they do not exist. Counted once per episode."""
TOLERANCE = 1e-3
"""Relative, below 1 absolute, of everything that is not an integer: Grid2Op tells in single precision."""
AMBIGUOUS = (
    Reason.AMBIGUOUS_LINE, Reason.AMBIGUOUS_BUS, Reason.REDISPATCH_OUT_OF_RANGE, Reason.CURTAILMENT_OUT_OF_RANGE,
    Reason.STORAGE_OUT_OF_RANGE,
)  # fmt: skip
UNREACHABLE = "an unreachable redispatch"
FLAGS = {
    "is_illegal": "illegal", "is_ambiguous": "ambiguous", "failed_redispatching": UNREACHABLE,
    "is_illegal_reco": "a start or stop too soon",
}  # fmt: skip
"""How Grid2Op's info says that an action is refused."""
INFEASIBLE = "infeasible redispatching state"
ENDS = {
    "is disconnected (check": (Outcome.LOAD_OR_GEN_DISCONNECTED,),
    "slack bus is out of the grid": (Outcome.LOAD_OR_GEN_DISCONNECTED,),
    "Divergence of DC powerflow": (Outcome.ISLANDED, Outcome.LOAD_OR_GEN_DISCONNECTED, Outcome.DIVERGED),
    "Divergence of AC powerflow": (Outcome.DIVERGED, Outcome.ISLANDED, Outcome.LOAD_OR_GEN_DISCONNECTED),
    INFEASIBLE: (Outcome.DISPATCH_INFEASIBLE, Outcome.LOAD_OR_GEN_DISCONNECTED),
}
"""What Grid2Op's last exception says of a game over, and what that is here, where disconnections and islands are found
in the topology, before any power flow: there its failure may come first, and name something else. The linear one that
starts it there ("non connected grid") may fail on a grid that hangs together, too, where it has no solution."""


class Attributes:
    """The attributes that both observations have, side by side."""

    def __init__(self, their_names: list[str], shunts_left_out: bool) -> None:
        """``their_names`` are the attributes of Grid2Op's observation."""
        left_out = CLOCK + OURS + (SHUNT_NAMES if shunts_left_out else ())
        self.names = [name for name in ATTRIBUTES if name in [*their_names, "thermal_limit"] and name not in left_out]

    def differences(self, ours: Observation, theirs: Any, but: tuple[str, ...] = ()) -> list[str]:
        """The attributes that differ, with the element that differs most; all at once, one by one only if some do."""
        unwritten = ("attack_under_alert",) if ours.over else ()
        names = [name for name in self.names if name not in (*but, *unwritten)]
        here = np.concatenate([np.ravel(getattr(ours, name)) for name in names]).astype(float)
        there = np.concatenate([np.ravel(getattr(theirs, name)) for name in names]).astype(float)
        if here.shape == there.shape and (np.abs(here - there) <= self._allowed(ours, there, names)).all():
            return []
        problems = [problem for name in names for problem in _difference(name, ours, theirs)]
        return problems or [f"sizes: there {there.shape}, here {here.shape}"]

    def _allowed(self, ours: Observation, there: np.ndarray, names: list[str]) -> np.ndarray:
        whole = [ATTRIBUTES[name].dtype is not float for name in names]
        sizes = [np.size(getattr(ours, name)) for name in names]
        return np.where(np.repeat(whole, sizes), 0.0, TOLERANCE * np.maximum(np.abs(there), 1.0))


def differences(ours: Observation, theirs: Any, but: tuple[str, ...] = ()) -> list[str]:
    """The attributes that differ between two observations, for a single comparison."""
    return Attributes(theirs.attr_list_vect, shunts_left_out=False).differences(ours, theirs, but)


def _difference(name: str, ours: Observation, theirs: Any) -> list[str]:
    """In words, if there is one."""
    here, there = (np.ravel(np.asarray(getattr(side, name), dtype=float)) for side in (ours, theirs))
    if here.shape != there.shape:
        return [f"{name} has {len(there)} values there, {len(here)} here"]
    allowed = 0.0 if ATTRIBUTES[name].dtype is not float else TOLERANCE * np.maximum(np.abs(there), 1.0)
    fine = np.abs(here - there) <= allowed
    if fine.all():
        return []
    i = int(np.where(fine, -1.0, np.nan_to_num(np.abs(here - there), nan=np.inf)).argmax())
    return [f"{name}[{i}] there {there[i]:g}, here {here[i]:g}"]


def clock_difference(ours: Observation, theirs: Any) -> list[str]:
    """Grid2Op shows the time at the end of the interval that its data is of."""
    there, here = theirs.get_time_stamp() - timedelta(minutes=float(ours.delta_time)), ours.time_stamp
    return [] if there == here else [f"time there {there}, here {here}"]


def verdicts(ours: Step, done: bool, info: dict) -> list[str]:
    """How the verdicts on the action, the end and the trips differ."""
    reason, outcome = Reason(int(ours.ruling.reason[0, 0])), Outcome(int(ours.state.outcome[0]))
    tripped = ours.state.disc_lines[0]
    failed = done and bool(info["exception"])
    there = [name for flag, name in FLAGS.items() if info[flag]]
    if failed and INFEASIBLE in str(info["exception"][-1]) and not _refused_besides(info):
        there = [name for name in there if name != UNREACHABLE]  # it speaks of the joint dispatch
    too_soon = FLAGS["is_illegal_reco"]
    if len(there) > 1:  # here an action is refused for its first reason alone
        there = [name for name in there if name != too_soon]
    here = _kind_of(reason)
    problems = []
    if there != here:
        problems.append(
            f"the action is {' and '.join(there) or 'fine'} there ({_reasons(info)}), "
            f"{' and '.join(here) or 'fine'} here ({reason.name})"
        )
    if done != (outcome is not Outcome.RUNNING):
        problems.append(f"over there {done} ({_reasons(info)}), here {outcome.name} ({reason.name})")
    elif done and outcome not in _ends(info):
        problems.append(f"the end there is {_words(info)}, here {outcome.name}")
    if not failed and (info["disc_lines"] != tripped).any():
        problems.append(f"trips there {info['disc_lines']}, here {tripped}")
    return problems


def _kind_of(reason: Reason) -> list[str]:
    """What Grid2Op calls a refusal for this reason."""
    if reason in (Reason.ACCEPTED, Reason.DISPATCH_INFEASIBLE):
        return []
    if reason in (Reason.REDISPATCH_TARGET_OUT_OF_RANGE, Reason.GEN_SWITCHED_OFF):
        return [UNREACHABLE]
    if reason is Reason.GEN_SWITCHED_TOO_SOON:
        return [FLAGS["is_illegal_reco"]]
    return [FLAGS["is_ambiguous" if reason in AMBIGUOUS else "is_illegal"]]


def _refused_besides(info: dict) -> bool:
    """Whether the redispatch was refused before the joint dispatch, which leaves two exceptions, had no solution."""
    return len(info["exception"]) - info["is_illegal"] - info["is_ambiguous"] > 2


def _ends(info: dict) -> tuple[Outcome, ...]:
    """What an end of the episode there may be called here."""
    if not info["exception"]:
        return (Outcome.TIME_LIMIT,)
    return next((ends for words, ends in ENDS.items() if words in _words(info)), ())


def _words(info: dict) -> str:
    return str(info["exception"][-1]) if info["exception"] else "the end of the data"


def _reasons(info: dict) -> str:
    return ", ".join(type(error).__name__ for error in info["exception"]) or "no exception"
