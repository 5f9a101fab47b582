"""What the operators were warned of: alarms per area, alerts per line, and whether they proved right.

A zone warns of the areas and lines in which it has an end of a line. All zones share the alarms' budget: an area or
line is warned of when at least one zone does. A refused action raises no alarm, but its alerts stand.
Order and off-by-ones are Grid2Op's.
"""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import kernel, rule
from marlgrid.model.system import System
from marlgrid.simulation.action import Action, Kind
from marlgrid.simulation.judge import Reason
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import Outcome, State

OF_DISPATCH = (Reason.REDISPATCH_TARGET_OUT_OF_RANGE, Reason.GEN_SWITCHED_OFF, Reason.GEN_SWITCHED_TOO_SOON)
"""Reasons that are found after the alarms were heard: these stand."""


def begin(system: System, state: State) -> None:
    """No alarm, no alert and no attack yet, and the initial budget (0 where there are no areas). In place."""
    alarm, alert = state.alarm, state.alert
    alarm.attention_budget[:] = system.attention.initial_budget if system.dim_alarms else 0.0
    for never in (alarm.time_since_last_alarm, alarm.last_alarm):
        never[:] = -1
    for never in (alert.time_since_last_alert, alert.time_since_last_attack):
        never[:] = -1


def register(system: System, state: State, action: Action, ruling: Ruling) -> None:
    """Books the alarms and alerts of a step whose end is known, in place. Writes: alarm, alert."""
    if system.dim_alarms:
        _alarms(system, state, action, ruling)
    if system.dim_alerts:
        _alerts(system, state, action, ruling)


def _alarms(system: System, state: State, action: Action, ruling: Ruling) -> None:
    asked = np.zeros((state.n_env, system.dim_alarms), dtype=np.bool_)
    heard = ruling.accepted if ruling.accepted.all() else ruling.accepted | np.isin(ruling.reason, OF_DISPATCH)
    _ask(Kind.RAISE_ALARM, system.tables.may_alarm, action.commands, action.first, action.last, heard, asked)
    rules, parameters, alarm = system.attention, system.parameters, state.alarm
    terms = np.float32(rules.alarm_cost), np.float32(rules.budget_per_step), np.float32(rules.max_budget)
    step = state.t - state.t_start
    _book_alarms(asked, heard, step, terms, alarm)
    tripped = (state.disc_lines >= 0).any(axis=1)
    _look_back(
        state.lost & tripped,
        step,
        parameters.alarm_best_time,
        parameters.alarm_window_size,
        alarm.raised,
        alarm.was_alarm_used_after_game_over,
    )


def _alerts(system: System, state: State, action: Action, ruling: Ruling) -> None:
    asked = np.zeros((state.n_env, system.dim_alerts), dtype=np.bool_)
    heard = np.ones_like(ruling.accepted)
    _ask(Kind.RAISE_ALERT, system.tables.may_alert, action.commands, action.first, action.last, heard, asked)
    window, step = system.parameters.alert_time_window, state.t - state.t_start
    _book_alerts(asked, ruling.attacked, system.alert_line, step, window, state.outcome, state.alert)


# ---------------------------------------------------------------------------------------------------- kernels
@kernel
def _ask(kind, may, commands, first, last, heard, asked):  # pragma: no cover
    """Marks what the zones that are heard warn of, each within its rights."""
    for e in range(first.shape[0]):
        for z in range(first.shape[1]):
            if heard[e, z]:
                for c in range(first[e, z], last[e, z]):
                    if commands.kind[c] == kind and may[z, commands.index[c]]:
                        asked[e, commands.index[c]] = True


@kernel
def _book_alarms(asked, heard, step, terms, alarm):  # pragma: no cover
    """Pays for alarms, or lets the budget grow. Single precision, as in Grid2Op: the budget is compared with a cost."""
    cost, growth, most = terms
    for e in range(len(step)):
        wanted = asked[e].any()
        raised = wanted and alarm.attention_budget[e] >= cost
        alarm.is_alarm_illegal[e] = wanted and not raised
        if raised:
            alarm.attention_budget[e] -= cost
        elif not wanted and heard[e].all():
            alarm.attention_budget[e] = min(most, growth + alarm.attention_budget[e])
        if raised:
            alarm.time_since_last_alarm[e] = 0
        elif alarm.time_since_last_alarm[e] >= 0:
            alarm.time_since_last_alarm[e] += 1
        slot = step[e] % alarm.raised.shape[1]
        for area in range(asked.shape[1]):
            alarm.raised[e, slot, area] = raised and asked[e, area]
            if raised and asked[e, area]:
                alarm.last_alarm[e, area] = step[e]


@kernel
def _look_back(judged, step, best_time, window, raised, used):  # pragma: no cover
    """At a game over that began with trips: was any alarm raised within the window around the best time?"""
    for e in range(len(judged)):
        used[e] = False
        for slot in range(raised.shape[1]):
            ago = (step[e] - slot) % raised.shape[1]
            if judged[e] and abs(ago - best_time) < window and raised[e, slot].any():
                used[e] = True


@kernel
def _book_alerts(asked, attacked, line, step, window, outcome, alert):  # pragma: no cover
    """Counts alerts and attacks; a game over without power flow happens before the opponent strikes."""
    for e in range(len(step)):
        solved = outcome[e] != Outcome.DISPATCH_INFEASIBLE
        struck = solved and (attacked[e] > 0).any()
        slot = step[e] % (window + 1)
        for k in range(len(line)):
            hit = struck and attacked[e, line[k]] > 0
            begins = hit and not alert.attacked[e, k]
            alert.attacks[e, slot, k] = (1 if asked[e, k] else -1) if begins else 0
            alert.attacked[e, k] = hit
            if solved:
                _count(e, k, asked[e, k], hit, struck, alert)
            if outcome[e] <= Outcome.TIME_LIMIT:
                _compare(e, k, asked[e, k], window, alert)
            if outcome[e] != Outcome.TIME_LIMIT:
                over = outcome[e] != Outcome.RUNNING
                alert.was_alert_used_after_attack[e, k] = _verdict(alert.attacks[e], k, slot, over)


@rule
def _count(e, k, asked, hit, struck, alert):  # pragma: no cover
    """Steps since, and lengths. An attack that goes on elsewhere keeps an old one on this line from counting anew."""
    alert.active_alert[e, k] = asked
    alert.alert_duration[e, k] = alert.alert_duration[e, k] + 1 if asked else 0
    alert.total_number_of_alert[e] += asked
    if asked:
        alert.time_since_last_alert[e, k] = 0
    elif alert.time_since_last_alert[e, k] >= 0:
        alert.time_since_last_alert[e, k] += 1
    if hit and not alert.attacked_in_series[e, k]:
        alert.time_since_last_attack[e, k] = 0
    elif alert.time_since_last_attack[e, k] >= 0:
        alert.time_since_last_attack[e, k] += 1
    alert.attacked_in_series[e, k] = struck and (hit or alert.attacked_in_series[e, k])


@rule
def _compare(e, k, asked, window, alert):  # pragma: no cover
    """Whether an attack that begins was alerted to, remembered for the length of the window."""
    if alert.time_since_last_attack[e, k] == 0:
        alert.attack_under_alert[e, k] = 1 if asked else -1
    elif alert.time_since_last_attack[e, k] > window:
        alert.attack_under_alert[e, k] = 0


@rule
def _verdict(attacks, k, slot, over):  # pragma: no cover
    """1 where alert or silence was right, -1 where it was wrong, 0 where nothing is to be judged.

    An attack that is survived for the whole window needed no alert; a game over within it did, for the earliest.
    """
    memory = attacks.shape[0]
    if not over:
        return -attacks[(slot + 1) % memory, k]
    for later in range(1, memory + 1):
        if attacks[(slot + later) % memory, k] != 0:
            return attacks[(slot + later) % memory, k]
    return np.int8(0)
