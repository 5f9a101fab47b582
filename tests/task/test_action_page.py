"""The two tables of Grid2Op's page on actions, row by row, in an environment; one, two and three busbars."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import marlgrid
from marlgrid import Reason
from marlgrid.model.attention import AttentionRules
from marlgrid.task.action_view import ActionView
from marlgrid.task.commands import make_action
from tests.simulation.small import small_system

LINE = 3
"""Before it is taken out, its ends are on these busbars."""
PREVIOUS_OR, PREVIOUS_EX = 2, 1


@pytest.fixture(scope="module")
def env():
    return marlgrid.parallel_env("case14", zones=1, rules="always-legal")


def started(env, connected):
    """The line in service with its origin alone on busbar 2, or taken out from there; the substation of its origin."""
    env.reset(seed=3)
    env.step({"zone_0": env.make_action({"set_bus": {"lines_or_id": [(LINE, PREVIOUS_OR)]}})})
    if not connected:
        env.step({"zone_0": env.make_action({"set_line_status": [(LINE, -1)]})})
    assert env.agents
    return int(env.task.system.grid.line_or_to_subid[LINE])


# action, original status, final status, substation affected, line affected, new origin bus, new extremity bus
ROWS = [
    ({"set_line_status": [(LINE, -1)]}, 1, 0, None, LINE, -1, -1),
    ({"set_line_status": [(LINE, +1)]}, 1, 1, None, LINE, PREVIOUS_OR, PREVIOUS_EX),
    ({"set_line_status": [(LINE, -1)]}, 0, 0, None, LINE, -1, -1),
    ({"set_line_status": [(LINE, +1)]}, 0, 1, None, LINE, PREVIOUS_OR, PREVIOUS_EX),
    ({"change_line_status": [LINE]}, 1, 0, None, LINE, -1, -1),
    ({"change_line_status": [LINE]}, 0, 1, None, LINE, PREVIOUS_OR, PREVIOUS_EX),
    ({"set_bus": {"lines_or_id": [(LINE, -1)]}}, 1, 0, None, LINE, -1, -1),
    ({"set_bus": {"lines_or_id": [(LINE, -1)]}}, 0, 0, "origin", None, -1, -1),
    ({"set_bus": {"lines_or_id": [(LINE, 1)]}}, 1, 1, "origin", None, 1, PREVIOUS_EX),
    ({"set_bus": {"lines_or_id": [(LINE, 1)]}}, 0, 1, None, LINE, 1, PREVIOUS_EX),
    ({"change_bus": {"lines_or_id": [LINE]}}, 1, 1, "origin", None, 3 - PREVIOUS_OR, PREVIOUS_EX),
    ({"change_bus": {"lines_or_id": [LINE]}}, 0, 0, "origin", None, -1, -1),
]


@pytest.mark.parametrize(("keys", "before", "after", "sub", "line", "or_bus", "ex_bus"), ROWS)
def test_row(env, keys, before, after, sub, line, or_bus, ex_bus):
    origin = started(env, connected=bool(before))
    assert env.observe_grid().line_status[LINE] == bool(before)
    lines, subs = env.describe_action(keys).topological_impact(env.current)
    assert np.flatnonzero(lines).tolist() == ([] if line is None else [line])
    assert np.flatnonzero(subs).tolist() == ([] if sub is None else [origin])
    *_, infos = env.step({"zone_0": env.make_action(keys)})
    assert infos["zone_0"]["reason"] == Reason.ACCEPTED
    seen, grid = env.observe_grid(), env.task.system.grid
    assert seen.line_status[LINE] == bool(after)
    assert seen.topo_vect[grid.line_or_pos_topo_vect[LINE]] == or_bus
    assert seen.topo_vect[grid.line_ex_pos_topo_vect[LINE]] == ex_bus


@pytest.mark.parametrize("n_busbar", [1, 3])
def test_as_many_busbars_as_asked_for(n_busbar):
    env = marlgrid.parallel_env("case14", zones=2, n_busbar=n_busbar, max_steps=20)
    _, infos = env.reset(seed=2)
    grid = env.task.system.grid
    zone = f"zone_{env.task.system.zones.labels[1]}"
    rest = dict.fromkeys(env.agents, 0)
    with pytest.raises(ValueError, match=f"busbar {n_busbar + 1} does not exist"):
        env.make_action({"set_bus": {"loads_id": (0, n_busbar + 1)}})
    moved = env.make_action({"set_bus": {"lines_or_id": [(4, n_busbar)], "lines_ex_id": [(0, n_busbar)]}})
    places = [grid.line_or_pos_topo_vect[4], grid.line_ex_pos_topo_vect[0]]
    *_, infos = env.step(rest | {zone: moved})
    assert infos[zone]["reason"] == Reason.ACCEPTED
    assert env.observe_grid().topo_vect[places].tolist() == [n_busbar] * 2
    *_, infos = env.step(rest | {zone: env.make_action({"change_bus": {"loads_id": [0]}})})
    assert infos[zone]["reason"] == Reason.AMBIGUOUS_BUS
    rng = np.random.default_rng(0)
    while env.agents:
        choices = {agent: rng.choice(np.flatnonzero(infos[agent]["action_mask"])) for agent in env.agents}
        *_, infos = env.step(choices)
        assert all(infos[agent]["reason"] in (Reason.ACCEPTED, Reason.DISPATCH_INFEASIBLE) for agent in choices)


def test_an_action_as_an_object(env):
    started(env, connected=True)
    grid = env.task.system.grid
    keys = {
        "set_line_status": {grid.name_line[0]: -1}, "change_line_status": [5], "redispatch": (0, 1.5),
        "set_bus": {"loads_id": (1, 2), "lines_ex_id": (7, 1)}, "change_bus": {"generators_id": [1]},
        "curtail": {int(np.flatnonzero(grid.gen_renewable)[0]): 0.25},
    }  # fmt: skip
    view = env.describe_action(keys)
    assert view == env.describe_action(view.commands)
    for names in (True, False):
        assert env.describe_action(json.loads(json.dumps(view.as_serializable_dict(names)))) == view
    assert str(view).startswith(f"disconnect line {grid.name_line[0]}; switch line {grid.name_line[5]}; redispatch")
    told = view.impact_on_objects()
    assert told["force_line"]["disconnections"] == {"count": 1, "powerlines": [0]}
    assert told["redispatch"]["generators"] == [{"gen_id": 0, "gen_name": grid.name_gen[0], "amount": 1.5}]
    assert {entry["object_type"] for entry in told["topology"]["assigned_bus"]} == {"load", "line (extremity)"}
    nothing = env.describe_action({})
    assert not nothing.impact_on_objects()["has_impact"]
    assert str(nothing) == "do nothing"
    assert view + {} == view
    assert (view + {"redispatch": (0, -1.5)} + {"curtail": (0, 1.5)}).reason(env.current, 0) != Reason.ACCEPTED
    assert env.describe_action({"redispatch": (0, 1e6)}).reason(env.current, 0) is Reason.REDISPATCH_OUT_OF_RANGE
    assert nothing.reason(env.current, 0) is Reason.ACCEPTED
    assert isinstance(env.describe_action(3, "zone_0"), ActionView)
    with pytest.raises(ValueError, match="zones are"):
        env.describe_action(3, "opponent_0")
    with pytest.raises(ValueError, match="give a whole number"):
        env.describe_action(-1, "zone_0")


def test_alarms_and_alerts_there_and_back():
    attention = AttentionRules(alarm_areas={"north": ("line_0", "line_1")}, alert_lines=("line_2", "line_3"))
    system = replace(small_system(), attention=attention)
    made = make_action(system, {"raise_alarm": ["north"], "raise_alert": [1], "redispatch": (0, 1.0)})
    view = ActionView(system, made)
    assert view.as_serializable_dict() == {
        "redispatch": [["gen_0", 1.0]], "raise_alarm": ["north"], "raise_alert": ["line_3"],
    }  # fmt: skip
    for names in (True, False):
        assert ActionView(system, make_action(system, view.as_serializable_dict(names))) == view
    both = view + {"raise_alarm": ["north"], "raise_alert": ["line_2"]}
    told = both.as_serializable_dict(names=False)
    assert (told["raise_alarm"], told["raise_alert"]) == ([0], [0, 1])


def test_one_agent_has_it_too():
    env = marlgrid.gym_env("case5")
    env.reset(seed=1)
    assert str(env.describe_action(0)) == "do nothing"
    made = env.make_action({"set_line_status": (0, -1)})
    assert env.describe_action(made).as_serializable_dict(names=False) == {"set_line_status": [[0, -1]]}
