"""Alarm areas and alertable lines: read from a Grid2Op folder, changed by a user, offered as actions."""

from __future__ import annotations

import json

import pytest

from marlgrid.env.registry import make_task
from marlgrid.model.datasets.case import load_case
from marlgrid.model.datasets.grid2op_folder import load_folder
from tests.model.grid2op_writing import OPPONENT, opponent_config, write_folder

BUDGET = """
    "has_attention_budget": True,
    "kwargs_attention_budget": {"max_budget": 4.0, "budget_per_ts": 1 / 8, "alarm_cost": 2.0, "init_budget": 3.0},
"""


def folder(path, info, more=OPPONENT + BUDGET):
    root = write_folder(path / "env", config=opponent_config(more))
    (root / "alerts_info.json").write_text(json.dumps(info))
    return root


def test_areas_of_a_folder(tmp_path):
    rules = load_folder(folder(tmp_path, {"fixed": {"b": ["l1"], "a": ["l0", "t4"]}})).system.attention
    assert list(rules.alarm_areas.items()) == [("a", ("l0", "t4")), ("b", ("l1",))]
    assert (rules.initial_budget, rules.max_budget, rules.budget_per_step, rules.alarm_cost) == (3, 4, 0.125, 2)


def test_areas_without_a_budget_are_none(tmp_path):
    assert load_folder(folder(tmp_path, {"fixed": {"a": ["l0"]}}, OPPONENT)).system.dim_alarms == 0


def test_lines_of_a_folder_are_those_attacked(tmp_path):
    system = load_folder(folder(tmp_path, {"by_line": "opponent"})).system
    assert system.attention.alert_lines == ("l2", "l0", "l3")
    assert [system.grid.name_line[line] for line in system.alert_line] == ["l2", "l0", "l3"]


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"fixed": {"a": ["nowhere"]}}, "'nowhere'.*no lines of the grid"),
        ({"by_line": "everything"}, "must hold"),
        ({}, "must hold"),
        ({"fixed": {}, "by_line": "opponent"}, "must hold"),
    ],
)
def test_broken_folders(tmp_path, info, words):
    with pytest.raises(ValueError, match=f"alerts_info.json.*{words}"):
        load_folder(folder(tmp_path, info))


def test_changes_of_a_user():
    changed = load_case("case5", attention={"alert_lines": ["0_1_0"], "alarm_cost": 0.5}).system
    assert (changed.dim_alarms, changed.dim_alerts, changed.attention.alarm_cost) == (0, 1, 0.5)
    with pytest.raises(ValueError, match=r"unknown attention rule.*'price'"):
        load_case("case5", attention={"price": 1})
    with pytest.raises(ValueError, match=r"unknown line.*'9_9_9'"):
        load_case("case5", attention={"alarm_areas": {"a": ["9_9_9"]}})


def test_warnings_are_actions_when_asked_for():
    attention = {"alarm_areas": {"a": ["0_1_0"]}, "alert_lines": ["0_1_0"]}
    task = make_task("case5", zones=1, attention=attention, actions={"kinds": ("alarm", "alert")})
    assert [task.actions.describe(0, a) for a in range(task.action_space("zone_0").n)] == [
        "do nothing",
        "raise an alarm for a",
        "alert to an attack on 0_1_0",
    ]
    without = make_task("case5", zones=1, attention=attention)
    assert without.action_space("zone_0").n == make_task("case5", zones=1).action_space("zone_0").n
