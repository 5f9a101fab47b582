"""Alarms and alerts on the grid drawn in ``small``: who may warn, what it costs, when it was right."""

from __future__ import annotations

import numpy as np
import pytest

from marlgrid.model.attention import AttentionRules
from marlgrid.simulation.action import Attack, Kind, joint
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.state import Outcome, put, take
from tests.simulation.small import GivenCurrents, asks, commands, play, small_system, start

ALARM, ALERT, STATUS = Kind.RAISE_ALARM, Kind.RAISE_ALERT, Kind.SET_LINE_STATUS
AREAS = {"ties": ("line_0", "line_1", "line_3"), "east": ("line_2",)}
RULES = AttentionRules(AREAS, ("line_0", "line_2"), initial_budget=1.5, max_budget=2.0, budget_per_step=0.25)
TERMS = {"alarm_best_time": 3, "alarm_window_size": 2, "alert_time_window": 2}
TIES, EAST = 0, 1
SYSTEM = small_system(TERMS, attention=RULES)
REST = asks(0)
CUT = asks(1, (Kind.SET_BUS, SYSTEM.grid.load_pos_topo_vect[0], -1))
"""A load on no busbar: game over."""


def both(first: tuple, second: tuple):
    """The commands of the two zones."""
    return joint([[commands(*first), commands(*second)]])


def strike(line: int, steps: int) -> Attack:
    return Attack(np.array([[steps if other == line else 0 for other in range(4)]], dtype=np.int32))


def test_who_may_warn():
    assert SYSTEM.tables.may_alarm.tolist() == [[True, False], [True, True]]
    assert SYSTEM.tables.may_alert.tolist() == [[True, False], [True, True]]
    for kind, foreign in ((ALARM, EAST), (ALERT, 1)):
        _, ruling = play(SYSTEM, start(SYSTEM), asks(0, (kind, foreign, 1)))
        assert ruling.reason.tolist() == [[Reason.NOT_IN_ZONE, Reason.ACCEPTED]]
        _, ruling = play(SYSTEM, start(SYSTEM), asks(1, (kind, foreign, 1)))
        assert ruling.accepted.all()


def test_all_alarms_of_a_step_cost_once_and_calm_brings_budget():
    states, _ = play(SYSTEM, start(SYSTEM), REST, REST, both(((ALARM, TIES, 1),), ((ALARM, EAST, 1),)), REST)
    alarms = [state.alarm for state in states]
    assert [float(a.attention_budget[0]) for a in alarms] == [1.5, 1.75, 2.0, 1.0, 1.25]
    assert [a.last_alarm[0].tolist() for a in alarms[2:]] == [[-1, -1], [3, 3], [3, 3]]
    assert [int(a.time_since_last_alarm[0]) for a in alarms] == [-1, -1, -1, 0, 1]


def test_an_alarm_that_cannot_be_paid_is_told_and_not_raised():
    states, ruling = play(SYSTEM, start(SYSTEM), *[asks(0, (ALARM, TIES, 1))] * 2, REST)
    assert ruling.accepted.all()
    assert [bool(state.alarm.is_alarm_illegal[0]) for state in states] == [False, False, True, False]
    assert [float(state.alarm.attention_budget[0]) for state in states] == [1.5, 0.5, 0.5, 0.75]
    assert states[2].alarm.last_alarm[0].tolist() == [1, -1]


def test_a_refused_action_raises_no_alarm_but_its_alerts_stand():
    wrong = (STATUS, 0, 1), (STATUS, 0, -1), (STATUS, 1, -1), (ALARM, TIES, 1), (ALERT, 0, 1)
    (_, after), ruling = play(SYSTEM, start(SYSTEM), both(wrong, ()))
    assert ruling.accepted.tolist() == [[False, True]]
    assert float(after.alarm.attention_budget[0]) == 1.5, "neither spent nor grown"
    assert after.alarm.last_alarm[0].tolist() == [-1, -1]
    assert after.alert.active_alert[0].tolist() == [True, False]
    (_, after), ruling = play(SYSTEM, start(SYSTEM), both(wrong, ((ALARM, EAST, 1),)))
    assert after.alarm.last_alarm[0].tolist() == [-1, 1], "the other zone's alarm is its own affair"
    assert float(after.alarm.attention_budget[0]) == 0.5


def test_an_unreachable_target_is_refused_after_its_alarm_was_heard():
    far = start(SYSTEM)
    far = far._replace(
        dispatch=far.dispatch._replace(target=far.dispatch.target + 99.0, modified=far.dispatch.modified | True)
    )
    (_, after), ruling = play(SYSTEM, far, asks(0, (Kind.REDISPATCH, 0, 4.0), (ALARM, TIES, 1)))
    assert ruling.reason[0, 0] == Reason.REDISPATCH_TARGET_OUT_OF_RANGE
    assert float(after.alarm.attention_budget[0]) == 0.5
    assert after.alarm.last_alarm[0].tolist() == [1, -1]


def test_an_alert_to_a_foreign_line_is_not_heard():
    (_, after), _ = play(SYSTEM, start(SYSTEM), asks(0, (ALERT, 0, 1), (ALERT, 1, 1)))
    assert after.alert.active_alert[0].tolist() == [True, False]


def test_counters_of_alerts():
    warned = asks(1, (ALERT, 1, 1))
    states, _ = play(SYSTEM, start(SYSTEM), REST, warned, both(((ALERT, 0, 1),), ((ALERT, 1, 1),)), REST, warned)
    seen = [state.alert for state in states]
    assert [a.active_alert[0].tolist() for a in seen[2:4]] == [[False, True], [True, True]]
    assert [a.time_since_last_alert[0, 1] for a in seen] == [-1, -1, 0, 0, 1, 0]
    assert [a.alert_duration[0, 1] for a in seen] == [0, 0, 1, 2, 0, 1]
    assert [int(a.total_number_of_alert[0]) for a in seen] == [0, 0, 1, 3, 3, 4]


@pytest.mark.parametrize(("action", "code"), [(REST, -1), (asks(0, (ALERT, 0, 1)), 1)])
def test_a_survived_attack_needed_no_alert(action, code):
    """The verdict falls two steps, the window, after the attack began; later the attack is forgotten."""
    states, _ = play(SYSTEM, start(SYSTEM), action, REST, REST, REST, attack=strike(0, 2))
    seen = [state.alert for state in states]
    assert [a.time_since_last_attack[0, 0] for a in seen] == [-1, 0, 1, 2, 3]
    assert [a.attack_under_alert[0, 0] for a in seen] == [0, code, code, code, 0]
    assert [a.was_alert_used_after_attack[0, 0] for a in seen] == [0, 0, 0, -code, 0]


@pytest.mark.parametrize(("action", "code"), [(REST, -1), (asks(0, (ALERT, 0, 1)), 1)])
def test_a_game_over_within_the_window_called_for_an_alert(action, code):
    states, _ = play(SYSTEM, start(SYSTEM), action, REST, CUT, attack=strike(0, 2))
    assert states[-1].lost.all()
    assert states[-1].alert.was_alert_used_after_attack[0].tolist() == [code, 0]
    states, _ = play(SYSTEM, start(SYSTEM), action, REST, REST, CUT, attack=strike(0, 2))
    assert states[-1].alert.was_alert_used_after_attack[0].tolist() == [0, 0], "too late to be its consequence"


@pytest.mark.parametrize(("steps", "used"), [(2, True), (3, True), (4, True), (1, False), (5, False)])
def test_an_alarm_is_used_within_its_window(steps, used):
    """Best 3 steps ahead, worth nothing 1 or 5 steps ahead. The game over comes with a trip, by too high a current."""
    states, _ = play(SYSTEM, start(SYSTEM), asks(0, (ALARM, TIES, 1)), *[REST] * (steps - 1))
    overloaded = GivenCurrents(SYSTEM, current=[500.0, 10.0, 10.0, 10.0])
    (_, after), _ = play(SYSTEM, states[-1], REST, solver=Falling(overloaded))
    assert after.outcome[0] == Outcome.DIVERGED
    assert after.disc_lines[0, 0] == 0
    assert bool(after.alarm.was_alarm_used_after_game_over[0]) == used


class Falling:
    """A power flow that finds no solution once a line is out."""

    def __init__(self, inner: GivenCurrents) -> None:
        self.inner = inner

    def solve(self, inputs, start, rows):
        flow = self.inner.solve(inputs, start, rows)
        out = (inputs.topo_vect[:, self.inner.grid.line_or_pos_topo_vect] < 0).any(axis=1)
        return flow._replace(converged=flow.converged & ~out)


def test_a_step_that_ends_in_time_judges_nothing_more():
    states, _ = play(SYSTEM, start(SYSTEM, steps=3), REST, REST, REST, attack=strike(0, 1))
    assert states[-1].outcome[0] == Outcome.TIME_LIMIT
    assert states[-1].alert.was_alert_used_after_attack[0].tolist() == [0, 0]


def test_rows_of_a_batch_do_not_mix():
    two = start(SYSTEM, n_env=2)
    (_, warned), _ = play(SYSTEM, take(two, np.array([0])), asks(0, (ALARM, TIES, 1), (ALERT, 0, 1)))
    whole = put(two, np.array([1]), warned)
    assert whole.alarm.last_alarm.tolist() == [[-1, -1], [1, -1]]
    assert whole.alert.active_alert.tolist() == [[False, False], [True, False]]


def test_without_areas_and_lines_there_is_nothing_to_keep():
    bare = small_system()
    state = start(bare)
    (_, after), _ = play(bare, state, REST)
    assert after.alarm.last_alarm.size == after.alarm.raised.size == 0
    assert after.alarm.attention_budget == state.alarm.attention_budget == 0
    assert after.alert.active_alert.size == 0
    assert state.alarm.raised.size == state.alert.attacks.size == 0
    assert state.alarm.attention_budget.tolist() == [0.0]


def test_wrong_rules_are_refused():
    with pytest.raises(ValueError, match="alarm_cost is -1"):
        AttentionRules(alarm_cost=-1)
    with pytest.raises(ValueError, match="more than once"):
        AttentionRules(alert_lines=("line_0", "line_0"))
    with pytest.raises(ValueError, match="alert_time_window is 0"):
        small_system({"alert_time_window": 0})
    assert "line_9" in small_system(attention=AttentionRules({"a": ("line_9",)})).problems()[0]
