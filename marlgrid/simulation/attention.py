"""What the operators were warned of: alarms per area, alerts per line, and whether they proved right.

A zone warns of the areas and lines in which it has an end of a line. All zones share the alarms' budget: an area or
line is warned of when at least one zone does. A refused action raises no alarm, but its alerts stand.
Order and off-by-ones are Grid2Op's.
"""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import rule, scratch
from marlgrid.model.system import System
from marlgrid.simulation.action import Kind
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.state import Outcome, State


def begin(system: System, state: State) -> None:
    """No alarm, no alert and no attack yet, and the initial budget (0 where there are no areas). In place."""
    alarm, alert = state.alarm, state.alert
    alarm.attention_budget[:] = system.attention.initial_budget if system.dim_alarms else 0.0
    for never in (alarm.time_since_last_alarm, alarm.last_alarm):
        never[:] = -1
    for never in (alert.time_since_last_alert, alert.time_since_last_attack):
        never[:] = -1


# ---------------------------------------------------------------------------------------------------- kernels
@rule
def register(tables, frame, kind, index, first, last) -> None:  # pragma: no cover
    """Books the alarms and alerts of a step whose end is known. Writes: alarm, alert."""
    dim_alarms, dim_alerts = tables.may_alarm.shape[1], tables.may_alert.shape[1]
    if dim_alarms + dim_alerts == 0:
        return
    state, ruling, rules = frame.state, frame.ruling, tables.rules[0]
    asked = scratch(max(dim_alarms, dim_alerts), np.bool_)
    for e in range(len(frame.ran)):
        if not frame.ran[e]:
            continue
        commands, step = (kind, index, first[e], last[e]), state.t[e] - state.t_start[e]
        if dim_alarms:
            heard = _ask(Kind.RAISE_ALARM, tables.may_alarm, commands, ruling.reason[e], asked)
            _book_alarms(rules, e, asked, heard, step, state.alarm)
            _look_back(rules, e, step, state)
        if dim_alerts:
            _ask(Kind.RAISE_ALERT, tables.may_alert, commands, ruling.reason[e], asked)
            _book_alerts(tables.alert_line, rules, e, asked, ruling.attacked[e], step, state.outcome[e], state.alert)


@rule
def _heard(reason) -> bool:  # pragma: no cover
    """Whether a zone's alarms are heard: reasons that are found after the alarms were heard let them stand."""
    return (
        reason == Reason.ACCEPTED
        or reason == Reason.DISPATCH_INFEASIBLE
        or reason == Reason.REDISPATCH_TARGET_OUT_OF_RANGE
        or reason == Reason.GEN_SWITCHED_OFF
        or reason == Reason.GEN_SWITCHED_TOO_SOON
    )


@rule
def _ask(warning, may, commands, reason, asked) -> bool:  # pragma: no cover
    """Marks what the zones warn of, each within its rights, alarms only of zones that are heard; true if all are."""
    kind, index, first, last = commands
    for i in range(may.shape[1]):
        asked[i] = False
    all_heard = True
    for z in range(len(first)):
        heard = _heard(reason[z])
        all_heard = all_heard and heard
        if heard or warning == Kind.RAISE_ALERT:
            for c in range(first[z], last[z]):
                if kind[c] == warning and may[z, index[c]]:
                    asked[index[c]] = True
    return all_heard


@rule
def _book_alarms(rules, e, asked, all_heard, step, alarm):  # pragma: no cover
    """Pays for alarms, or lets the budget grow. Single precision, as in Grid2Op: the budget is compared with a cost."""
    wanted = False
    for area in range(alarm.raised.shape[2]):
        wanted = wanted or asked[area]
    raised = wanted and alarm.attention_budget[e] >= rules.alarm_cost
    alarm.is_alarm_illegal[e] = wanted and not raised
    if raised:
        alarm.attention_budget[e] -= rules.alarm_cost
    elif not wanted and all_heard:
        alarm.attention_budget[e] = min(rules.alarm_most, rules.alarm_growth + alarm.attention_budget[e])
    if raised:
        alarm.time_since_last_alarm[e] = 0
    elif alarm.time_since_last_alarm[e] >= 0:
        alarm.time_since_last_alarm[e] += 1
    slot = step % alarm.raised.shape[1]
    for area in range(alarm.raised.shape[2]):
        alarm.raised[e, slot, area] = raised and asked[area]
        if raised and asked[area]:
            alarm.last_alarm[e, area] = step


@rule
def _look_back(rules, e, step, state):  # pragma: no cover
    """At a game over that began with trips: was any alarm raised within the window around the best time?"""
    tripped = False
    for l in range(state.disc_lines.shape[1]):
        tripped = tripped or state.disc_lines[e, l] >= 0
    raised, used = state.alarm.raised, False
    if tripped and state.outcome[e] > Outcome.TIME_LIMIT:
        for slot in range(raised.shape[1]):
            ago = (step - slot) % raised.shape[1]
            if abs(ago - rules.alarm_best_time) < rules.alarm_window:
                for area in range(raised.shape[2]):
                    used = used or raised[e, slot, area]
    state.alarm.was_alarm_used_after_game_over[e] = used


@rule
def _book_alerts(lines, rules, e, asked, attacked, step, outcome, alert):  # pragma: no cover
    """Counts alerts and attacks; a game over without power flow happens before the opponent strikes."""
    window = rules.alert_window
    solved, struck = outcome != Outcome.DISPATCH_INFEASIBLE, False
    for l in range(len(attacked)):
        struck = struck or (solved and attacked[l] > 0)
    slot = step % (window + 1)
    for k in range(len(lines)):
        hit = struck and attacked[lines[k]] > 0
        begins = hit and not alert.attacked[e, k]
        alert.attacks[e, slot, k] = (1 if asked[k] else -1) if begins else 0
        alert.attacked[e, k] = hit
        if solved:
            _count(e, k, asked[k], hit, struck, alert)
        if outcome <= Outcome.TIME_LIMIT:
            _compare(e, k, asked[k], window, alert)
        if outcome != Outcome.TIME_LIMIT:
            over = outcome != Outcome.RUNNING
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
