"""Rules of the user's own: they refuse further, one zone at a time, in actions, masks and what-if alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from marlgrid.model.rule_set import RuleSet
from marlgrid.simulation.action import Attack, Kind, joint, no_attack
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.rules import enforce, legal
from marlgrid.task.actions import DiscreteActions
from marlgrid.task.menu import Menu
from tests.simulation.small import commands, play, small_system, start

K = Kind
GEN_0, LOAD_0, LOAD_1 = 3, 8, 13


def lines_stay(system, state, zone, commands):
    """No line is taken out."""
    return not ((commands.kind == Kind.SET_LINE_STATUS) & (commands.value < 0)).any()


def calm_only(system, state, zone, commands):
    """Busbars are changed only in the first five steps, and in zone 1 never."""
    moves = np.isin(commands.kind, (Kind.SET_BUS, Kind.CHANGE_BUS)).any()
    return bool(not moves or (state.t[0] < 5 and zone != 1))


SYSTEM = replace(small_system(), rules=RuleSet(own=(lines_stay, calm_only)))


def verdicts(system, state, *asked):
    ruling = enforce(system, state, joint([list(asked)]), no_attack(1, 4))
    return [Reason(reason) for reason in ruling.reason[0]], ruling


def test_each_rule_refuses_its_zone_alone():
    state = start(SYSTEM)
    out, move = commands((K.SET_LINE_STATUS, 2, -1)), commands((K.SET_BUS, GEN_0, 2))
    given, ruling = verdicts(SYSTEM, state, move, out)
    assert given == [Reason.ACCEPTED, Reason.OWN_RULE]
    assert not ruling.line_impacted.any()
    assert ruling.sub_impacted[0].tolist() == [True, False, False]
    given, _ = verdicts(SYSTEM, state, move, commands((K.SET_BUS, LOAD_0, 2)))
    assert given == [Reason.ACCEPTED, Reason.OWN_RULE]
    late = state._replace(t=state.t + 5)
    assert verdicts(SYSTEM, late, move, commands((K.SET_LINE_STATUS, 2, 1)))[0] == [Reason.OWN_RULE, Reason.ACCEPTED]


def test_what_is_refused_is_not_played():
    action = joint([[commands((K.SET_BUS, GEN_0, 2)), commands((K.SET_LINE_STATUS, 2, -1))]])
    (_, after), ruling = play(SYSTEM, start(SYSTEM), action)
    assert ruling.accepted[0].tolist() == [True, False]
    assert after.topology.topo_vect[0, GEN_0] == 2
    assert (after.topology.topo_vect[0] > 0).all()


def test_they_are_asked_only_about_what_the_built_in_rules_accept():
    asked = []

    def note(system, state, zone, commands):
        asked.append((state.n_env, zone, commands.kind.tolist()))
        commands.value[:] = 0  # a copy: changes nothing
        return True

    system = replace(small_system(), rules=RuleSet(own=(note,)))
    fine, wrong = commands((K.REDISPATCH, 0, 1.0)), commands((K.REDISPATCH, 1, 99.0))
    (_, after), _ = play(system, start(system), joint([[fine, wrong]]))
    assert asked == [(1, 0, [K.REDISPATCH])]
    assert after.dispatch.target[0, 0] == 1.0
    assert verdicts(system, start(system), commands(), commands())[0] == [Reason.ACCEPTED] * 2
    assert len(asked) == 1


def test_masks_agree_with_the_judge():
    actions = DiscreteActions(SYSTEM, Menu())
    state = start(SYSTEM, n_env=2)
    state = state._replace(t=np.array([0, 7], dtype=np.int32))
    masks = actions.masks(state)
    refused_by_own = 0
    for zone, mask in enumerate(masks):
        for element in range(mask.shape[1]):
            asked = [actions.commands(z, element if z == zone else 0) for z in range(2)]
            ruling = enforce(SYSTEM, state, joint([asked, asked]), Attack(np.zeros((2, 4), dtype=np.int32)))
            assert (mask[:, element] == ruling.accepted[:, zone]).all()
            refused_by_own += (ruling.reason[:, zone] == Reason.OWN_RULE).sum()
    assert refused_by_own > 10
    assert (
        legal(SYSTEM, state, commands((K.SET_BUS, LOAD_1, 1)), np.array([0, 1]), np.array([1])).tolist()
        == [[False]] * 2
    )


def test_an_answer_that_is_no_verdict_raises():
    system = replace(small_system(), rules=RuleSet(own=(lambda *_: None,)))
    with pytest.raises(TypeError, match="answered None: answer True"):
        verdicts(system, start(system), commands((K.REDISPATCH, 0, 1.0)), commands())
