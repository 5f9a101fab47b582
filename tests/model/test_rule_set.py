"""Rules as a user asks for them, and those that a Grid2Op folder names."""

from __future__ import annotations

from pathlib import Path

import pytest

from marlgrid.model.datasets.grid2op_config import read_config
from marlgrid.model.datasets.grid2op_rules import read_rule_set
from marlgrid.model.rule_set import RULE_SETS, RuleSet, rule_set
from tests.simulation.small import small_grid

GRID = small_grid()
AREAS = ((0,), ("sub_1", 2))


def yes(*_):
    return True


def no(*_):
    return False


def checks(rules):
    return rules.quotas, rules.cooldowns, rules.storages


def test_named_sets():
    of_case = RuleSet(areas=AREAS, own=(yes,))
    assert rule_set(GRID, None, of_case) is of_case
    assert rule_set(GRID, "default", of_case) is RULE_SETS["default"]
    assert checks(rule_set(GRID, "always-legal", of_case)) == (False, False, False)
    by_area = rule_set(GRID, "by-area", of_case)
    assert (by_area.areas, by_area.own, checks(by_area)) == (AREAS, (), (True, True, True))
    assert by_area.area_of_sub(GRID).tolist() == [0, 1, 1]


def test_own_rules_join_those_of_the_case():
    of_case = RuleSet(areas=AREAS, own=(yes,))
    assert rule_set(GRID, no, of_case).own == (yes, no)
    assert rule_set(GRID, [no, yes], of_case).own == (yes, no, yes)
    assert rule_set(GRID, no, of_case).areas == AREAS


def test_settings_change_the_base():
    of_case = RuleSet(areas=AREAS)
    assert rule_set(GRID, {"cooldowns": False}, of_case).areas == AREAS
    changed = rule_set(GRID, {"base": "always-legal", "quotas": True, "own": no}, of_case)
    assert (checks(changed), changed.areas, changed.own) == ((True, False, False), (), (no,))
    areas = {"west": ["sub_0", "sub_2"], "east": [1]}
    assert rule_set(GRID, {"base": "by-area", "areas": areas}, RuleSet()).area_of_sub(GRID).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("by-area", ValueError, ["no areas", "areas"]),
        ("by_zone", ValueError, ["by_zone", "always-legal"]),
        ({"quota": True}, ValueError, ["quota", "quotas"]),
        ({"quotas": 2}, TypeError, ["quotas", "True or False"]),
        ({"areas": [[0, 1]]}, ValueError, ["areas must", "sub_2"]),
        ({"areas": [[0, 1], [1, 2]]}, ValueError, ["sub_1", "area"]),
        ({"areas": [[0, 1], ["sub_9"]]}, ValueError, ["sub_9"]),
        ({"areas": [0, 1, 1]}, TypeError, ["lists of substations"]),
        ({"own": 3}, TypeError, ["own rules"]),
        ([yes, 3], TypeError, ["own rules"]),
        (RuleSet(areas=((0,),)), ValueError, ["areas must", "sub_1"]),
        (4, TypeError, ["int", "default"]),
    ],
)
def test_wrong_rules_raise(spec, error, words):
    with pytest.raises(error) as caught:
        rule_set(GRID, spec, RuleSet())
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("None", (True, True, True)),
        ("DefaultRules", (True, True, True)),
        ("AlwaysLegal", (False, False, False)),
        ("LookParam", (True, False, False)),
        ("PreventReconnection", (False, True, False)),
        ("PreventDiscoStorageModif", (False, False, True)),
        ("RulesByArea([[0, 1], [2]])", (True, True, True)),
        ("RulesByArea({'a': [0, 1], 'b': [2]})", (True, True, True)),
    ],
)
def test_rules_of_a_folder(tmp_path: Path, text, expected):
    path = tmp_path / "config.py"
    imported = "" if text == "None" else f"from grid2op.Rules import {text.split('(')[0]}\n"
    path.write_text(f"{imported}config = {{'gamerules_class': {text}}}\n")
    read = read_rule_set(path, read_config(path))
    assert checks(read) == expected
    assert read.areas == (((0, 1), (2,)) if "Area" in text else ())


@pytest.mark.parametrize("text", ["MyRules", "RulesByArea", "RulesByArea(3)", "RulesByArea([[0]], 2)"])
def test_rules_that_a_folder_cannot_have(tmp_path: Path, text):
    path = tmp_path / "config.py"
    path.write_text(f"from some.place import {text.split('(')[0]}\nconfig = {{'gamerules_class': {text}}}\n")
    with pytest.raises(ValueError, match=r"config\.py, (gamerules_class|RulesByArea)"):
        read_rule_set(path, read_config(path))
