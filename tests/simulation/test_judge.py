"""Each reason for a refusal, on the smallest action that earns it; and quotas and blame per zone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from marlgrid.model.rule_set import RULE_SETS, RuleSet
from marlgrid.model.zones import make_zones
from marlgrid.simulation.action import Attack, Kind, joint, no_attack
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.rules import enforce, legal
from tests.simulation.small import asks, commands, play, small_system, start

K = Kind
# places by substation: sub_0: line_0 or, line_1 or, line_3 or, gen_0; sub_1: line_0 ex, line_2 or, line_3 ex, gen_1,
# load_0, storage_0; sub_2: line_1 ex, line_2 ex, gen_2, load_1
LINE_0_OR, LINE_1_OR, LINE_3_OR, GEN_0 = range(4)
LINE_0_EX, LINE_2_OR, LINE_3_EX, GEN_1, LOAD_0, STORAGE_0 = range(4, 10)
LINE_1_EX, LINE_2_EX, GEN_2, LOAD_1 = range(10, 14)


def reason(system, zone, *asked, state=None):
    state = state or start(system)
    return Reason(enforce(system, state, asks(zone, *asked), no_attack(1, 4)).reason[0, zone])


@pytest.mark.parametrize(
    ("zone", "asked", "expected"),
    [
        (0, [(K.SET_LINE_STATUS, 2, -1)], Reason.NOT_IN_ZONE),
        (0, [(K.SET_BUS, LINE_0_EX, 2)], Reason.NOT_IN_ZONE),
        (0, [(K.REDISPATCH, 1, 1.0)], Reason.NOT_IN_ZONE),
        (0, [(K.SET_STORAGE, 0, 1.0)], Reason.NOT_IN_ZONE),
        (1, [(K.SET_LINE_STATUS, 2, -1), (K.CHANGE_LINE_STATUS, 2, 1)], Reason.AMBIGUOUS_LINE),
        (1, [(K.SET_LINE_STATUS, 2, -1), (K.SET_BUS, LINE_2_OR, 2)], Reason.AMBIGUOUS_LINE),
        (1, [(K.SET_LINE_STATUS, 2, -1), (K.CHANGE_BUS, LINE_2_OR, 1)], Reason.AMBIGUOUS_LINE),
        (1, [(K.SET_LINE_STATUS, 2, 1), (K.CHANGE_BUS, LINE_2_OR, 1)], Reason.AMBIGUOUS_LINE),
        (1, [(K.SET_LINE_STATUS, 2, 1), (K.SET_BUS, LINE_2_EX, -1)], Reason.AMBIGUOUS_LINE),
        (1, [(K.SET_BUS, LINE_2_OR, -1), (K.SET_BUS, LINE_2_EX, 2)], Reason.AMBIGUOUS_LINE),
        (1, [(K.SET_BUS, GEN_1, 2), (K.CHANGE_BUS, GEN_1, 1)], Reason.AMBIGUOUS_BUS),
        (1, [(K.SET_BUS, GEN_1, 3)], Reason.AMBIGUOUS_BUS),
        (0, [(K.REDISPATCH, 0, 5.00001)], Reason.REDISPATCH_OUT_OF_RANGE),
        (0, [(K.REDISPATCH, 0, -5.1)], Reason.REDISPATCH_OUT_OF_RANGE),
        (1, [(K.REDISPATCH, 2, 1.0)], Reason.REDISPATCH_OUT_OF_RANGE),
        (0, [(K.REDISPATCH, 0, np.inf)], Reason.REDISPATCH_OUT_OF_RANGE),
        (1, [(K.CURTAIL, 1, 0.5)], Reason.CURTAILMENT_OUT_OF_RANGE),
        (1, [(K.CURTAIL, 2, 1.5)], Reason.CURTAILMENT_OUT_OF_RANGE),
        (1, [(K.CURTAIL, 2, np.nan)], Reason.CURTAILMENT_OUT_OF_RANGE),
        (1, [(K.SET_STORAGE, 0, 12.5)], Reason.STORAGE_OUT_OF_RANGE),
        (1, [(K.SET_STORAGE, 0, np.nan)], Reason.STORAGE_OUT_OF_RANGE),
        (0, [(K.SET_LINE_STATUS, 0, -1), (K.SET_LINE_STATUS, 1, -1)], Reason.TOO_MANY_LINES),
        (1, [(K.SET_BUS, GEN_1, 2), (K.SET_BUS, GEN_2, 2)], Reason.TOO_MANY_SUBS),
        # not ambiguous in Grid2Op
        (1, [(K.SET_LINE_STATUS, 2, 1), (K.SET_BUS, LINE_2_OR, 2)], Reason.ACCEPTED),
        (1, [(K.CHANGE_LINE_STATUS, 2, 1), (K.SET_BUS, LINE_2_OR, 2)], Reason.ACCEPTED),
        (1, [(K.CHANGE_LINE_STATUS, 2, 1), (K.CHANGE_BUS, LINE_2_OR, 1)], Reason.ACCEPTED),
        (0, [(K.REDISPATCH, 0, 5.0000001)], Reason.ACCEPTED),
        (0, [(K.REDISPATCH, 0, -5.0)], Reason.ACCEPTED),
    ],
)
def test_reason(zone, asked, expected):
    system = small_system()
    assert reason(system, zone, *asked) is expected
    table = commands(*asked)
    mask = legal(system, start(system), table, np.array([0, len(table.kind)]), np.array([zone]))
    assert mask[0, 0] == (expected is Reason.ACCEPTED)


def test_the_refused_zone_alone_does_nothing():
    system = small_system()
    action = joint([[commands((K.REDISPATCH, 0, 99.0)), commands((K.SET_LINE_STATUS, 2, -1))]])
    (_, after), ruling = play(system, start(system), action)
    assert ruling.reason.tolist() == [[Reason.REDISPATCH_OUT_OF_RANGE, Reason.ACCEPTED]]
    assert after.topology.topo_vect[0, LINE_2_OR] == -1
    assert not after.dispatch.modified.any()


@pytest.mark.parametrize(("tie_lines", "allowed"), [("both", (1, 1)), ("origin", (1, 0)), ("none", (0, 0))])
def test_tie_line_switching(tie_lines, allowed):
    system = small_system(tie_lines=tie_lines)
    for zone in (0, 1):
        for asked in [(K.SET_LINE_STATUS, 0, -1), (K.SET_BUS, (LINE_0_OR, LINE_0_EX)[zone], -1)]:
            expected = Reason.ACCEPTED if allowed[zone] else Reason.NOT_IN_ZONE
            assert reason(system, zone, asked) is expected
        assert reason(system, zone, (K.SET_BUS, (LINE_0_OR, LINE_0_EX)[zone], 2)) is Reason.ACCEPTED


def test_quotas_count_lines_and_substations_apart_and_per_zone():
    system = small_system()
    both = joint(
        [
            [
                commands((K.SET_LINE_STATUS, 0, -1), (K.SET_BUS, LINE_3_OR, 2)),
                commands((K.SET_LINE_STATUS, 2, -1), (K.SET_BUS, GEN_2, 2)),
            ]
        ]
    )
    assert enforce(system, start(system), both, no_attack(1, 4)).accepted.all()


# sub_0 and sub_1 are an area, sub_2 another: lines 0, 1 and 3 leave sub_0, line 2 leaves sub_1 for sub_2
BY_AREA = RuleSet(areas=((0, 1), (2,)))
ONE_ZONE = [0, 0, 0]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([(K.SET_LINE_STATUS, 0, -1), (K.SET_LINE_STATUS, 2, -1)], Reason.TOO_MANY_LINES),  # origins: one area
        ([(K.SET_BUS, GEN_0, 2), (K.SET_BUS, GEN_1, 2)], Reason.TOO_MANY_SUBS),
        ([(K.SET_BUS, GEN_0, 2), (K.SET_BUS, GEN_2, 2)], Reason.ACCEPTED),
        ([(K.SET_LINE_STATUS, 1, -1), (K.SET_BUS, GEN_0, 2), (K.SET_BUS, LOAD_1, 2)], Reason.ACCEPTED),
        ([(K.SET_LINE_STATUS, 1, -1), (K.SET_BUS, LINE_2_EX, -1)], Reason.TOO_MANY_LINES),  # by its busbar, as well
    ],
)
def test_quotas_by_area(asked, expected):
    system = small_system()
    whole = replace(system, rules=BY_AREA, zones=make_zones(system.grid, ONE_ZONE))
    action = joint([[commands(*asked)]])
    assert Reason(enforce(whole, start(whole), action, no_attack(1, 4)).reason[0, 0]) is expected
    table = commands(*asked)
    mask = legal(whole, start(whole), table, np.array([0, len(asked)]), np.array([0]))
    assert mask[0, 0] == (expected is Reason.ACCEPTED)


def test_quotas_by_area_count_for_each_zone():
    system = replace(small_system(), rules=BY_AREA)
    both = joint([[commands((K.SET_LINE_STATUS, 0, -1)), commands((K.SET_LINE_STATUS, 2, -1))]])
    assert enforce(system, start(system), both, no_attack(1, 4)).accepted.all()


def test_cooldowns_refuse():
    system = small_system({"NB_TIMESTEP_COOLDOWN_LINE": 2, "NB_TIMESTEP_COOLDOWN_SUB": 2})
    (_, after), _ = play(system, start(system), asks(1, (K.SET_LINE_STATUS, 2, -1), (K.SET_BUS, LOAD_0, 2)))
    assert reason(system, 1, (K.SET_LINE_STATUS, 2, 1), state=after) is Reason.LINE_COOLDOWN
    assert reason(system, 1, (K.SET_BUS, LOAD_0, 1), state=after) is Reason.SUB_COOLDOWN
    assert reason(system, 1, (K.SET_BUS, LOAD_1, 1), state=after) is Reason.ACCEPTED


def test_storage_without_busbar_refuses_power():
    system = small_system()
    (_, after), _ = play(system, start(system), asks(1, (K.SET_BUS, STORAGE_0, -1)))
    assert after.running.all()
    assert reason(system, 1, (K.SET_STORAGE, 0, 1.0), state=after) is Reason.STORAGE_DISCONNECTED
    assert reason(system, 1, (K.SET_BUS, STORAGE_0, 1), (K.SET_STORAGE, 0, 1.0), state=after) is Reason.ACCEPTED


def test_always_legal_leaves_what_an_action_can_mean():
    parameters = {"NB_TIMESTEP_COOLDOWN_LINE": 2, "NB_TIMESTEP_COOLDOWN_SUB": 2}
    system = replace(small_system(parameters), rules=RULE_SETS["always-legal"])
    asked = (K.SET_LINE_STATUS, 2, -1), (K.SET_LINE_STATUS, 0, -1), (K.SET_BUS, LOAD_0, 2), (K.SET_BUS, LOAD_1, 2)
    (_, after), ruling = play(system, start(system), asks(1, *asked, (K.SET_BUS, STORAGE_0, -1)))
    assert ruling.accepted.all()
    back = (K.SET_LINE_STATUS, 2, 1), (K.SET_BUS, LOAD_0, 1), (K.SET_STORAGE, 0, 1.0)
    assert reason(system, 1, *back, state=after) is Reason.ACCEPTED
    assert reason(system, 1, (K.SET_BUS, GEN_0, 1)) is Reason.NOT_IN_ZONE
    assert reason(system, 1, (K.SET_STORAGE, 0, 99.0)) is Reason.STORAGE_OUT_OF_RANGE
    assert reason(system, 1, (K.SET_LINE_STATUS, 2, 1), (K.SET_BUS, LINE_2_EX, -1)) is Reason.AMBIGUOUS_LINE


def test_redispatch_target_beyond_the_range_of_the_generator():
    system = small_system(gen_pmax=np.array([41.0, 60.0, 40.0]), gen_pmin=np.array([38.0, 0.0, 0.0]))
    (_, after), _ = play(system, start(system), asks(0, (K.REDISPATCH, 0, 2.0)))
    assert reason(system, 0, (K.REDISPATCH, 0, 2.0), state=after) is Reason.REDISPATCH_TARGET_OUT_OF_RANGE
    assert reason(system, 0, (K.REDISPATCH, 0, 0.5), state=after) is Reason.ACCEPTED


# the two tables of Grid2Op's action page, for line_0 seen from sub_0: (command, connected before) -> what is impacted
@pytest.mark.parametrize(
    ("asked", "connected", "lines", "subs", "or_bus", "ex_bus"),
    [
        ((K.SET_LINE_STATUS, 0, -1), True, [0], [], -1, -1),
        ((K.SET_LINE_STATUS, 0, -1), False, [0], [], -1, -1),
        ((K.SET_LINE_STATUS, 0, 1), True, [0], [], 1, 1),
        ((K.SET_LINE_STATUS, 0, 1), False, [0], [], 1, 1),
        ((K.CHANGE_LINE_STATUS, 0, 1), True, [0], [], -1, -1),
        ((K.CHANGE_LINE_STATUS, 0, 1), False, [0], [], 1, 1),
        ((K.SET_BUS, LINE_0_OR, -1), True, [0], [], -1, -1),
        ((K.SET_BUS, LINE_0_OR, -1), False, [], [0], -1, -1),
        ((K.SET_BUS, LINE_0_OR, 2), True, [], [0], 2, 1),
        ((K.SET_BUS, LINE_0_OR, 2), False, [0], [], 2, 1),
        ((K.CHANGE_BUS, LINE_0_OR, 1), True, [], [0], 2, 1),
        ((K.CHANGE_BUS, LINE_0_OR, 1), False, [], [0], -1, -1),
    ],
)
def test_impact_table(asked, connected, lines, subs, or_bus, ex_bus):
    system = small_system()
    state = start(system)
    if not connected:
        (_, state), _ = play(system, state, asks(0, (K.SET_LINE_STATUS, 0, -1)))
    (_, after), ruling = play(system, state, asks(0, asked))
    assert np.flatnonzero(ruling.line_impacted[0]).tolist() == lines
    assert np.flatnonzero(ruling.sub_impacted[0]).tolist() == subs
    assert after.topology.topo_vect[0, LINE_0_OR] == or_bus
    assert after.topology.topo_vect[0, LINE_0_EX] == ex_bus


def test_attacks_are_judged_too():
    system = small_system()
    state = start(system)
    attack = np.zeros((1, 4), dtype=np.int32)

    def verdict(line, duration, on=state):
        asked = attack.copy()
        asked[0, line] = duration
        ruling = enforce(system, on, asks(0), Attack(asked))
        return bool(ruling.attack_refused[0]), int(ruling.attacked[0, line])

    assert verdict(0, 4) == (False, 4)
    assert verdict(0, 5) == (True, 0)  # longer than allowed
    assert verdict(0, -1) == (True, 0)
    assert verdict(3, 1) == (True, 0)  # not attackable
    poor = state._replace(attack=state.attack._replace(budget=np.array([2.0])))
    assert verdict(0, 4, poor) == (True, 0)
    assert verdict(0, 2, poor) == (False, 2)
    waiting = state._replace(attack=state.attack._replace(cooldown=np.array([1], dtype=np.int32)))
    assert verdict(0, 1, waiting) == (True, 0)
