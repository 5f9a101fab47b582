"""Commands given twice, sums of actions, and commands that name what does not exist."""

from __future__ import annotations

import numpy as np
import pytest

from marlgrid.simulation.action import Attack, Commands, Kind, SubstationAttack, add, canonical, no_attack
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.rules import enforce
from marlgrid.task.hand_built import ELEMENTS, checked
from tests.simulation.small import asks, commands, play, small_system, start

K = Kind
STATUS, TOGGLE, BUS, SWAP = K.SET_LINE_STATUS, K.CHANGE_LINE_STATUS, K.SET_BUS, K.CHANGE_BUS
LINE_2_OR, LOAD_0 = 5, 8


def listed(made):
    return list(zip(made.kind.tolist(), made.index.tolist(), made.value.tolist(), strict=True))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([(K.REDISPATCH, 1, 1.0), (K.REDISPATCH, 0, 3.0), (K.REDISPATCH, 1, 2.0)], [(4, 0, 3.0), (4, 1, 2.0)]),
        ([(BUS, 3, 2), (STATUS, 1, -1), (STATUS, 0, 1), (BUS, 3, 1)], [(0, 0, 1.0), (0, 1, -1.0), (2, 3, 1.0)]),
        ([(TOGGLE, 1, 1), (TOGGLE, 1, 1)], []),
        ([(SWAP, 4, 1), (SWAP, 4, 1), (SWAP, 4, 1)], [(3, 4, 1.0)]),
        ([(K.CURTAIL, 2, 0.5), (K.CURTAIL, 2, 1.0), (K.SET_STORAGE, 0, 9.0), (K.SET_STORAGE, 0, -1.0)],
         [(5, 2, 1.0), (6, 0, -1.0)]),
    ],
)  # fmt: skip
def test_the_last_value_counts_and_two_changes_cancel(given, expected):
    assert listed(canonical(commands(*given))) == expected


def test_a_redispatch_given_twice_is_judged_and_played_once():
    system = small_system()
    twice = (K.REDISPATCH, 0, 99.0), (K.REDISPATCH, 0, 4.0)
    (_, after), ruling = play(system, start(system), asks(0, *twice))
    assert ruling.accepted.all()
    assert after.dispatch.target[0].tolist() == [4.0, 0.0, 0.0]
    ruling = enforce(system, start(system), asks(0, *reversed(twice)), no_attack(1, 4))
    assert ruling.reason[0, 0] == Reason.REDISPATCH_OUT_OF_RANGE


def test_a_toggle_given_twice_is_none():
    system = small_system({"NB_TIMESTEP_COOLDOWN_LINE": 3})
    (_, after), _ = play(system, start(system), asks(1, (TOGGLE, 2, 1), (TOGGLE, 2, 1)))
    assert after.topology.topo_vect[0, LINE_2_OR] == 1
    assert not after.counters.time_before_cooldown_line.any()


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ([(K.REDISPATCH, 0, 4.0)], [(K.REDISPATCH, 0, 4.0), (K.REDISPATCH, 1, 1.0)], [(4, 0, 8.0), (4, 1, 1.0)]),
        ([(K.REDISPATCH, 0, 4.0)], [(K.REDISPATCH, 0, -4.0)], []),
        ([(K.SET_STORAGE, 0, 4.0)], [(K.SET_STORAGE, 0, -1.0)], [(6, 0, 3.0)]),
        ([(K.CURTAIL, 2, 0.5)], [(K.CURTAIL, 2, 0.0)], [(5, 2, 0.0)]),
        ([(STATUS, 0, 1)], [(STATUS, 0, -1)], [(0, 0, -1.0)]),
        ([(STATUS, 0, 1)], [(TOGGLE, 0, 1)], [(0, 0, -1.0)]),
        ([(TOGGLE, 0, 1)], [(STATUS, 0, 1)], [(0, 0, 1.0)]),
        ([(TOGGLE, 0, 1)], [(TOGGLE, 0, 1), (TOGGLE, 1, 1)], [(1, 1, 1.0)]),
        ([(BUS, 3, 2)], [(SWAP, 3, 1)], [(2, 3, 1.0)]),
        ([(SWAP, 3, 1)], [(BUS, 3, 2)], [(2, 3, 2.0)]),
        ([(BUS, 3, -1)], [(SWAP, 3, 1)], [(2, 3, -1.0), (3, 3, 1.0)]),
        ([(BUS, 3, 3)], [(SWAP, 3, 1)], [(2, 3, 3.0), (3, 3, 1.0)]),
        ([], [(STATUS, 0, 1), (TOGGLE, 0, 1)], [(0, 0, 1.0), (1, 0, 1.0)]),
        ([(STATUS, 0, 1), (TOGGLE, 0, 1)], [(TOGGLE, 0, 1)], [(0, 0, 1.0), (1, 0, 1.0)]),
        ([(STATUS, 0, 1), (TOGGLE, 0, 1)], [(STATUS, 0, -1)], [(0, 0, -1.0)]),
    ],
)  # fmt: skip
def test_sum(left, right, expected):
    assert listed(add(commands(*left), commands(*right))) == expected


def test_the_sum_is_judged_as_a_whole():
    system = small_system()
    half = commands((K.REDISPATCH, 0, 4.0))
    assert enforce(system, start(system), asks(0, *listed(half)), no_attack(1, 4)).accepted.all()
    both = asks(0, *[(K(kind), index, value) for kind, index, value in listed(add(half, half))])
    assert enforce(system, start(system), both, no_attack(1, 4)).reason[0, 0] == Reason.REDISPATCH_OUT_OF_RANGE


@pytest.mark.parametrize("value", [0.0, 2.0, 0.5, np.nan, np.inf])
def test_a_status_or_busbar_that_does_not_exist_is_refused(value):
    system = small_system()
    for kind, index, reason in ((STATUS, 2, Reason.AMBIGUOUS_LINE), (BUS, LOAD_0, Reason.AMBIGUOUS_BUS)):
        if (kind, value) != (BUS, 2.0):
            ruling = enforce(system, start(system), asks(1, (kind, index, value)), no_attack(1, 4))
            assert ruling.reason[0, 1] == reason


def test_commands_on_what_does_not_exist_raise():
    system = small_system()
    assert list(ELEMENTS) == list(Kind)
    fine = commands((STATUS, 3, 1.0), (K.SET_STORAGE, 0, 1.0))
    assert checked(system, fine) is fine
    for wrong, words in (
        (commands((STATUS, 4, 1.0)), "there is no line 4; numbers go from 0 to 3"),
        (commands((BUS, -1, 1.0)), "there is no place of the topology vector -1"),
        (commands((K.SET_STORAGE, 1, 1.0)), "there is no storage 1"),
        (fine._replace(kind=np.array([0, 99], dtype=np.int8)), "kind 99: choose from"),
        (fine._replace(value=np.zeros(1)), "lengths"),
    ):
        with pytest.raises(ValueError, match=words):
            checked(system, wrong)
    with pytest.raises(TypeError, match="give int8, int32 and float64"):
        checked(system, Commands(fine.kind, fine.index.astype(np.int64), fine.value))


def test_attacks_where_episodes_go_on():
    """On lines and substations alike; what is given stays as it is."""
    subs = SubstationAttack(np.full((3, 2), 4, dtype=np.int32), np.full((3, 5), 2, dtype=np.int32))
    attack = Attack(np.full((3, 4), 7, dtype=np.int32), subs)
    left = attack.where(np.array([True, False, True]))
    for kept, given in zip((left.duration, *left.subs), (attack.duration, *attack.subs), strict=True):
        assert kept.dtype == given.dtype
        np.testing.assert_array_equal(kept[[0, 2]], given[[0, 2]])
        assert not kept[1].any()
        assert given.all()
    assert attack._replace(subs=None).where(np.zeros(3, dtype=bool)).subs is None
