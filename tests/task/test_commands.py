"""Actions in words: every key, sub-key and form of value, and an error for everything malformed."""

from __future__ import annotations

import numpy as np
import pytest

from marlgrid.simulation.action import Kind
from marlgrid.task.commands import in_words, make_action, split_by_zone
from tests.simulation.small import small_grid, small_system

GRID = small_grid()


def asked(keys):
    """{(kind, index): value} of a made action."""
    made = make_action(GRID, keys)
    return {(Kind(int(k)), int(i)): float(v) for k, i, v in zip(*made, strict=True)}


@pytest.mark.parametrize(
    "value",
    [
        (2, -1),
        ("line_2", -1),
        [(2, -1)],
        [("line_2", -1)],
        {"line_2": -1},
        {2: -1},
        np.array([0, 0, -1, 0]),
        [0, 0, -1, 0],
        (np.int64(2), np.int32(-1)),
    ],
)
def test_all_forms_of_a_value_mean_the_same(value):
    assert asked({"set_line_status": value}) == {(Kind.SET_LINE_STATUS, 2): -1.0}


@pytest.mark.parametrize(
    "value", [1, "line_1", [1], ["line_1"], [False, True, False, False], np.array([0, 1, 0, 0], bool)]
)
def test_all_forms_of_a_change_mean_the_same(value):
    assert asked({"change_line_status": value}) == {(Kind.CHANGE_LINE_STATUS, 1): 1.0}


def test_busbars_by_element():
    places = {
        "loads_id": GRID.load_pos_topo_vect[0],
        "generators_id": GRID.gen_pos_topo_vect[1],
        "lines_or_id": GRID.line_or_pos_topo_vect[2],
        "lines_ex_id": GRID.line_ex_pos_topo_vect[0],
        "storages_id": GRID.storage_pos_topo_vect[0],
    }
    numbers = {"loads_id": 0, "generators_id": 1, "lines_or_id": 2, "lines_ex_id": 0, "storages_id": 0}
    for sub_key, place in places.items():
        assert asked({"set_bus": {sub_key: [(numbers[sub_key], 2)]}}) == {(Kind.SET_BUS, place): 2.0}
        assert asked({"change_bus": {sub_key: [numbers[sub_key]]}}) == {(Kind.CHANGE_BUS, place): 1.0}


def test_busbars_of_a_whole_substation():
    begin, end = GRID.sub_start[1], GRID.sub_start[2]
    busbars = [1, 2, 0, 2, -1, 1]
    expected = {(Kind.SET_BUS, begin + i): float(b) for i, b in enumerate(busbars) if b}
    assert asked({"set_bus": {"substations_id": [(1, busbars)]}}) == expected
    assert asked({"set_bus": {"substations_id": ("sub_1", busbars)}}) == expected
    flags = [b == 2 for b in busbars]
    changed = {(Kind.CHANGE_BUS, begin + i): 1.0 for i, f in enumerate(flags) if f}
    assert asked({"change_bus": {"substations_id": [(1, flags)]}}) == changed
    vector = np.zeros(GRID.dim_topo, dtype=int)
    vector[begin:end] = busbars
    assert asked({"set_bus": vector}) == expected


def test_injections_and_neutral_values():
    assert asked({"redispatch": [("gen_0", 2.5), (1, 0.0)]}) == {(Kind.REDISPATCH, 0): 2.5}
    assert asked({"redispatch": np.array([np.nan, -1.0, 0.0])}) == {(Kind.REDISPATCH, 1): -1.0}
    assert asked({"curtail": np.array([-1, -1, 0.25])}) == {(Kind.CURTAIL, 2): 0.25}
    assert asked({"curtail": {"gen_2": 0.0}}) == {(Kind.CURTAIL, 2): 0.0}
    assert asked({"set_storage": (0, -3.0)}) == {(Kind.SET_STORAGE, 0): -3.0}
    assert asked({"set_line_status": [0, 0, 0, 0], "set_bus": {}}) == {}
    assert asked({}) == {}


def test_the_last_mention_of_an_element_wins():
    assert asked({"redispatch": [(0, 4.0), (0, 3.0)]}) == {(Kind.REDISPATCH, 0): 3.0}


@pytest.mark.parametrize(
    ("keys", "error", "words"),
    [
        ({"set_lines": 1}, ValueError, ["set_lines", "set_line_status"]),
        ({"set_line_status": (4, 1)}, ValueError, ["4", "0 to 3"]),
        ({"set_line_status": ("line_9", 1)}, ValueError, ["line_9", "line_0"]),
        ({"set_line_status": (-1, 1)}, ValueError, ["-1"]),
        ({"set_line_status": (1, 2)}, ValueError, ["status 2"]),
        ({"set_line_status": [1, 0]}, ValueError, ["2 values", "(4)"]),
        ({"set_line_status": 3}, TypeError, ["3"]),
        ({"set_line_status": (1, "on")}, TypeError, ["'on'"]),
        ({"set_line_status": (True, 1)}, ValueError, ["True"]),
        ({"change_line_status": [True, False]}, ValueError, ["2 flags"]),
        ({"change_line_status": 2.5}, TypeError, ["2.5"]),
        ({"set_bus": {"loads_id": (0, 3)}}, ValueError, ["busbar 3", "1 to 2"]),
        ({"set_bus": {"loads_id": (0, 1.5)}}, ValueError, ["busbar 1.5"]),
        ({"set_bus": {"lines_id": (0, 1)}}, ValueError, ["lines_id", "lines_or_id"]),
        ({"set_bus": {"substations_id": [(1, [1, 2])]}}, ValueError, ["2 values", "(6)"]),
        ({"set_bus": {"substations_id": [(3, [1, 2])]}}, ValueError, ["3", "0 to 2"]),
        ({"set_bus": {"substations_id": 1}}, TypeError, ["substation"]),
        ({"set_storage": (0, float("nan"))}, ValueError, ["not a number"]),
        ({"curtail": (2, float("nan"))}, ValueError, ["not a number"]),
        ([("redispatch", 1)], TypeError, ["mapping"]),
    ],
)
def test_malformed_actions_raise(keys, error, words):
    with pytest.raises(error) as caught:
        make_action(GRID, keys)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_in_words():
    made = make_action(GRID, {"set_line_status": (2, -1), "redispatch": (0, -2.0), "set_bus": {"loads_id": (0, 2)}})
    assert in_words(GRID, made) == "disconnect line line_2; redispatch gen_0 by -2 MW; sub_1: busbar 2 load_0"
    assert in_words(GRID, make_action(GRID, {})) == "do nothing"
    made = make_action(GRID, {"curtail": (2, 1.0), "set_storage": (0, -3), "change_bus": {"lines_ex_id": ["line_0"]}})
    assert in_words(GRID, made) == "release gen_2; discharge storage_0 with 3 MW; sub_1: other busbar line_0 (ex)"


@pytest.mark.parametrize(("tie_lines", "switcher"), [("both", 0), ("origin", 0)])
def test_commands_go_to_the_owner(tie_lines, switcher):
    system = small_system(tie_lines=tie_lines)
    keys = {"set_line_status": (0, -1), "redispatch": [(0, 1.0), (1, 2.0)], "set_bus": {"lines_ex_id": (1, 2)}}
    parts = split_by_zone(system, make_action(system, keys))
    assert Kind.SET_LINE_STATUS in parts[switcher].kind
    assert parts[0].value[parts[0].kind == Kind.REDISPATCH].tolist() == [1.0]
    assert parts[1].value[parts[1].kind == Kind.REDISPATCH].tolist() == [2.0]
    assert (parts[1].kind == Kind.SET_BUS).sum() == 1
    assert [len(part.kind) for part in split_by_zone(system, None)] == [0, 0]


def test_commands_stand_in_the_order_of_their_kinds():
    keys = {"redispatch": (0, 1.0), "set_bus": {"loads_id": (0, 2)}, "set_line_status": (1, 1)}
    assert make_action(GRID, keys).kind.tolist() == [Kind.SET_LINE_STATUS, Kind.SET_BUS, Kind.REDISPATCH]
    kinds = [Kind.REDISPATCH, Kind.CURTAIL, Kind.SET_STORAGE]
    keys = {"set_storage": (0, 1.0), "curtail": (0, 0.5), "redispatch": (0, 1.0)}
    assert make_action(GRID, keys).kind.tolist() == kinds
