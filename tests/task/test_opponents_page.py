"""docs/opponents.md against the code: names, settings, rules, and its examples run."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from marlgrid.model.parameters import AttackRules
from marlgrid.task.opponents import OPPONENTS

PAGE = (Path(__file__).parents[2] / "docs" / "opponents.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
ROWS = {cells[1].strip(" `"): cells for line in PAGE.splitlines() if len(cells := line.split("|")) == 7}


def test_every_attacker_is_listed_with_its_class_and_settings():
    assert set(ROWS) - {"name", "---"} == set(OPPONENTS)
    for name, kind in OPPONENTS.items():
        assert ROWS[name][2].strip(" `") == kind.__name__
        if name == "multi-area":
            continue  # its row refers to the one above
        for setting in fields(kind):
            if setting.name in ("series", "solver"):
                continue  # given by the task
            default = f" = {setting.default:g}" if isinstance(setting.default, int | float) else ""
            assert f"`{setting.name}`{default}" in ROWS[name][4], (name, setting.name)


def test_defaults_of_the_areas():
    values = {field.name: field.default for field in fields(OPPONENTS["multi-area"])}
    assert list(values.values()) == [32.0, 2.0, 1.0, 4.0, ()]


def test_every_rule_is_listed():
    listed = set(re.findall(r"^\| `(\w+)` \| (?:names|steps|line-steps) \|", PAGE, flags=re.MULTILINE))
    assert listed == {field.name for field in fields(AttackRules)}


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_examples_run(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "opponents.md", "exec", dont_inherit=True), {"__name__": "__page__"})
