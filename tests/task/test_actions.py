"""Action spaces: what their elements ask for, and what is said to elements that are none."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from marlgrid.simulation.action import Kind, no_attack
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.rules import enforce
from marlgrid.task.actions import DiscreteActions, MultiDiscreteActions
from marlgrid.task.commands import make_action
from marlgrid.task.continuous import BoxActions, DictActions
from marlgrid.task.menu import Menu
from tests.simulation.small import commands, small_system, start
from tests.task.tasks import loaded

SYSTEM = small_system()


def same(left, right) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def held(action, env: int, zone: int):
    """The commands of one zone in a joint action."""
    part = slice(action.first[env, zone], action.last[env, zone])
    return type(action.commands)(*(column[part] for column in action.commands))


# ---------------------------------------------------------------------------------------------------- discrete
def test_the_menu_of_a_zone_is_what_make_action_makes():
    actions = DiscreteActions(SYSTEM)
    expected = [{}]
    expected += [{"set_line_status": (line, status)} for line in range(3 + 1) if line != 2 for status in (1, -1)]
    expected += [{"redispatch": (0, level * 5.0)} for level in (-1, -0.5, 0.5, 1)]
    ready = actions.of_zone(0)
    assert actions.space(0) == spaces.Discrete(len(ready))
    # sub_0 holds three line ends and a generator: one busbar of two elements each, three ways
    busbars = [r for r in ready if (r.kind == Kind.SET_BUS).any()]
    assert len(busbars) == 4
    others = [r for r in ready if not (r.kind == Kind.SET_BUS).any()]
    assert len(others) == len(expected)
    assert all(same(r, make_action(SYSTEM, keys)) for r, keys in zip(others, expected, strict=True))


@pytest.mark.parametrize(("line", "per_line"), [("set", 2), ("change", 1), ("both", 3), ("connect", 1)])
def test_line_switching_by_set_or_change(line, per_line):
    ready = DiscreteActions(SYSTEM, Menu(kinds=("line",), line=line)).of_zone(1)
    assert len(ready) == 1 + 4 * per_line


def test_kinds_choose():
    for kind in ("line", "bus", "redispatch", "curtail", "storage"):
        ready = DiscreteActions(SYSTEM, Menu(kinds=(kind,))).of_zone(1)
        made = {Kind(int(k)) for r in ready for k in r.kind}
        wanted = {"line": 0, "bus": 2, "redispatch": 4, "curtail": 5, "storage": 6}[kind]
        assert made == {Kind(wanted)}


def test_a_joint_action_is_index_arithmetic_on_the_table():
    actions = DiscreteActions(SYSTEM)
    chosen = [[3, 0], [0, 7]]
    action = actions.joint(chosen)
    assert action.commands is actions.table.commands
    for env in range(2):
        for zone in range(2):
            assert same(held(action, env, zone), actions.commands(zone, chosen[zone][env]))


def test_commands_may_stand_beside_numbers():
    actions = DiscreteActions(SYSTEM)
    made = make_action(SYSTEM, {"redispatch": (0, 1.25)})
    action = actions.joint([[made, 1], [np.int64(2), np.array(0)]])
    assert same(held(action, 0, 0), made)
    assert same(held(action, 1, 0), actions.commands(0, 1))
    assert same(held(action, 0, 1), actions.commands(1, 2))
    assert len(held(action, 1, 1).kind) == 0


def test_explicit_lists():
    lists = {"zone_1": [{"set_line_status": (2, -1)}, commands((Kind.REDISPATCH, 1, 2.0))]}
    actions = DiscreteActions(SYSTEM, actions=lists)
    assert [actions.space(z).n for z in range(2)] == [1, 3]
    assert actions.describe(1, 2) == "redispatch gen_1 by +2 MW"
    with pytest.raises(ValueError, match="zone_7"):
        DiscreteActions(SYSTEM, actions={"zone_7": []})


@pytest.mark.parametrize("element", [-1, 10_000, 1.0, "1", None, [1], np.array([1])])
def test_what_is_no_action_id(element):
    actions = DiscreteActions(SYSTEM)
    with pytest.raises(ValueError, match=r"zone_1 was given action .*from 0 to"):
        actions.joint([[0], [element]])


def test_padding_makes_spaces_equal_and_is_always_refused():
    actions = DiscreteActions(SYSTEM, pad=True)
    sizes = [len(actions.of_zone(zone)) for zone in range(2)]
    assert actions.space(0) == actions.space(1) == spaces.Discrete(max(sizes))
    short = int(np.argmin(sizes))
    state = start(SYSTEM)
    masks = actions.masks(state)
    assert not masks[short][:, sizes[short] :].any()
    assert masks[1 - short][:, 0].all()
    chosen = [[0], [0]]
    chosen[short] = [sizes[short]]
    ruling = enforce(SYSTEM, state, actions.joint(chosen), no_attack(1, 4))
    assert ruling.reason[0, short] == Reason.NOT_IN_ZONE
    assert "refused" in actions.describe(short, sizes[short])


def test_the_default_menu_stays_small_on_118_buses():
    system = loaded("case118").system
    actions = DiscreteActions(system)
    assert max(actions.space(zone).n for zone in range(system.n_zone)) < 1500


@pytest.mark.parametrize(
    "wrong",
    [
        {"kinds": ("lines",)},
        {"kinds": "line"},
        {"line": "toggle"},
        {"max_bus_actions": 1},
        {"redispatch": (2.0,)},
        {"curtail": (-0.5,)},
        {"storage": (-1.5,)},
    ],
)
def test_a_wrong_menu(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Menu(**wrong)


# ---------------------------------------------------------------------------------------------------- multi-discrete
def test_components_add_up():
    actions = MultiDiscreteActions(SYSTEM)
    names = [part.name for part in actions.components[1]]
    assert names == ["line", "bus", "redispatch gen_1", "curtail gen_2", "storage storage_0"]
    element = np.array([2, 0, 4, 1, 0])
    made = actions.commands(1, element)
    expected = make_action(SYSTEM, {"set_line_status": (0, -1), "redispatch": (1, 10.0), "curtail": (2, 0.0)})
    assert same(made, expected)
    assert actions.space(1).contains(element)
    masks = actions.masks(start(SYSTEM))
    assert [m.shape[1] for m in masks[1]] == actions.space(1).nvec.tolist()
    assert all(m.dtype == np.int8 for m in masks[1])


@pytest.mark.parametrize("element", [[0, 0], [0, 0, 0, 0, 99], [0, 0, 0, 0, -1], [0.0] * 5, 3, "no"])
def test_what_is_no_multi_discrete_action(element):
    actions = MultiDiscreteActions(SYSTEM)
    with pytest.raises(ValueError, match="zone_1 was given action"):
        actions.joint([[np.zeros(3, dtype=int)], [element]])


def test_a_zone_without_anything_still_has_a_space():
    actions = MultiDiscreteActions(SYSTEM, Menu(kinds=("storage",)))
    assert actions.space(0).nvec.tolist() == [1]
    assert len(actions.commands(0, [0]).kind) == 0


# ---------------------------------------------------------------------------------------------------- continuous
def test_a_box_scales_to_ramps_caps_and_powers():
    actions = BoxActions(SYSTEM)
    assert actions.space(1).shape == (3,)
    made = actions.commands(1, np.array([-0.5, 0.5, 1.0], dtype=np.float32))
    assert made.kind.tolist() == [Kind.REDISPATCH, Kind.CURTAIL, Kind.SET_STORAGE]
    assert made.index.tolist() == [1, 2, 0]
    assert made.value.tolist() == [-5.0, 0.75, 12.0]
    released = actions.commands(1, [0.0, 1.0, 0.0])
    assert released.value.tolist() == [0.0, 1.0, 0.0]
    assert actions.masks(start(SYSTEM)) == [None, None]


def test_a_box_in_range_is_always_accepted():
    actions = BoxActions(SYSTEM)
    rng = np.random.default_rng(0)
    state = start(SYSTEM)
    for x in (-1.0, 1.0, *rng.uniform(-1, 1, 20)):
        chosen = [[np.full(actions.space(zone).shape, x, dtype=np.float32)] for zone in range(2)]
        assert enforce(SYSTEM, state, actions.joint(chosen), no_attack(1, 4)).accepted.all()


@pytest.mark.parametrize("element", [[0, 0], [0, 0, 1.5], [0, 0, np.nan], "no", None])
def test_what_is_no_box_action(element):
    with pytest.raises(ValueError, match="zone_1 was given"):
        BoxActions(SYSTEM).commands(1, element)


def test_a_box_has_only_continuous_kinds():
    with pytest.raises(ValueError, match="line"):
        BoxActions(SYSTEM, kinds=("line",))
    empty = BoxActions(SYSTEM, kinds=("storage",))
    assert empty.space(0).shape == (1,)
    assert len(empty.commands(0, [0.5]).kind) == 0


def test_a_dict_joins_a_switch_and_set_points():
    actions = DictActions(SYSTEM)
    assert sorted(actions.space(0).keys()) == ["redispatch", "switch"]
    assert sorted(actions.space(1).keys()) == ["curtail", "redispatch", "storage", "switch"]
    element = {"switch": 2, "redispatch": [1.0]}
    assert same(actions.commands(0, element), make_action(SYSTEM, {"set_line_status": (0, -1), "redispatch": (0, 5.0)}))
    for zone in range(2):
        sampled = actions.space(zone).sample()
        assert len(actions.commands(zone, sampled).kind) >= 1
    with pytest.raises(ValueError, match="keys"):
        actions.commands(0, {"switch": 0})
    with pytest.raises(ValueError, match=r"zone_0 was given .* for redispatch"):
        actions.commands(0, {"switch": 0, "redispatch": [2.0]})
    with pytest.raises(ValueError, match="zone_0 was given action 99999"):
        actions.commands(0, {"switch": 99999, "redispatch": [0.0]})
