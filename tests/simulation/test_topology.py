"""Switching on the small grid: conflicts on tie lines, last busbars, islands, lost elements."""

from __future__ import annotations

import numpy as np
import pytest

from marlgrid.simulation.action import Attack, Kind, joint
from marlgrid.simulation.state import Outcome
from marlgrid.simulation.topology import islanded
from tests.simulation.small import asks, commands, play, small_system, start
from tests.simulation.test_judge import GEN_0, LINE_0_EX, LINE_0_OR, LINE_2_EX, LINE_2_OR, LOAD_0

K = Kind
OFF, ON = (K.SET_LINE_STATUS, 0, -1), (K.SET_LINE_STATUS, 0, 1)


def ends(state):
    return state.topology.topo_vect[0, [LINE_0_OR, LINE_0_EX]].tolist()


@pytest.mark.parametrize(
    ("zone_0", "zone_1", "connected_before", "expected"),
    [
        (OFF, ON, True, [-1, -1]),
        (ON, OFF, True, [-1, -1]),
        (OFF, ON, False, [-1, -1]),
        (ON, None, False, [1, 1]),
        ((K.SET_BUS, LINE_0_OR, 2), OFF, True, [-1, -1]),
        ((K.SET_BUS, LINE_0_OR, 2), (K.SET_BUS, LINE_0_EX, 2), True, [2, 2]),
        ((K.SET_BUS, LINE_0_OR, 2), ON, False, [2, 1]),
        ((K.SET_BUS, LINE_0_OR, 2), (K.SET_BUS, LINE_0_EX, 2), False, [2, 2]),
        ((K.CHANGE_LINE_STATUS, 0, 1), (K.CHANGE_LINE_STATUS, 0, 1), True, [-1, -1]),
        ((K.CHANGE_LINE_STATUS, 0, 1), ON, True, [-1, -1]),
        ((K.CHANGE_LINE_STATUS, 0, 1), ON, False, [1, 1]),
    ],
)
def test_conflict_on_a_tie_line(zone_0, zone_1, connected_before, expected):
    system = small_system()
    state = start(system)
    if not connected_before:
        (_, state), _ = play(system, state, asks(0, OFF))
    action = joint([[commands(zone_0) if zone_0 else commands(), commands(zone_1) if zone_1 else commands()]])
    (_, after), ruling = play(system, state, action)
    assert ruling.accepted.all()
    assert ends(after) == expected


def test_within_a_zone_a_new_busbar_keeps_the_line():
    system = small_system()
    (_, after), _ = play(system, start(system), asks(0, (K.CHANGE_LINE_STATUS, 0, 1), (K.SET_BUS, LINE_0_OR, 2)))
    assert ends(after) == [2, 1]
    (_, after), _ = play(system, start(system), asks(0, (K.CHANGE_LINE_STATUS, 0, 1), (K.CHANGE_BUS, LINE_0_OR, 1)))
    assert ends(after) == [-1, -1]


def test_a_busbar_is_changed_only_where_there_is_one():
    """As Grid2Op: changes of busbars come after switching by status, before new busbars."""
    system = small_system()
    _, off = play(system, start(system), asks(1, (K.SET_LINE_STATUS, 2, -1)))[0]
    by_status = asks(1, (K.CHANGE_LINE_STATUS, 2, 1), (K.CHANGE_BUS, LINE_2_EX, 1))
    by_busbar = asks(1, (K.SET_BUS, LINE_2_OR, 2), (K.CHANGE_BUS, LINE_2_EX, 1))
    for action, expected in ((by_status, [1, 2]), (by_busbar, [2, 1])):
        (_, after), ruling = play(system, off, action)
        assert ruling.accepted.all()
        assert after.topology.topo_vect[0, [LINE_2_OR, LINE_2_EX]].tolist() == expected


def test_reconnection_returns_to_the_last_busbars():
    system = small_system()
    states, _ = play(system, start(system), asks(0, (K.SET_BUS, LINE_0_OR, 2)), asks(1, OFF), asks(1, ON))
    assert [ends(state) for state in states[1:]] == [[2, 1], [-1, -1], [2, 1]]


def test_busbar_chosen_in_the_step_of_the_attack_is_forgotten():
    system = small_system()
    duration = np.array([[1, 0, 0, 0]], dtype=np.int32)
    states, _ = play(system, start(system), asks(0, (K.SET_BUS, LINE_0_OR, 2)), asks(1, ON), attack=Attack(duration))
    assert [ends(state) for state in states[1:]] == [[-1, -1], [1, 1]]


@pytest.mark.parametrize("place", [LOAD_0, GEN_0])
def test_lost_load_or_generator_ends_the_episode(place):
    system = small_system()
    zone = int(system.tables.place[place]["zone"])
    (_, after), _ = play(system, start(system), asks(zone, (K.SET_BUS, place, -1)))
    assert Outcome(after.outcome[0]) is Outcome.LOAD_OR_GEN_DISCONNECTED


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], False),
        ([LOAD_0], True),
        ([LINE_2_OR], False),  # a line end alone on a busbar hangs on its other end
        ([LINE_2_OR, LINE_2_EX], True),  # both ends alone do not
    ],
)
def test_islands(places, expected):
    system = small_system()
    topology = start(system).topology
    topo_vect = topology.topo_vect.copy()
    topo_vect[0, places] = 2
    assert islanded(system, topology._replace(topo_vect=topo_vect))[0] == expected
