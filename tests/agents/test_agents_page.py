"""docs/agents.md against the code: names, classes, settings, and its examples run."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from agents import OfZone, agent_from
from agents.registry import names

PAGE = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
ROWS = {cells[1].strip(" `"): cells for line in PAGE.splitlines() if len(cells := line.split("|")) == 7}


def test_every_name_is_listed_with_its_class_and_settings():
    assert set(ROWS) - {"name", "---"} >= set(names())
    for name in names():
        agent, listed = agent_from(name), ROWS[name][2].strip(" `")
        if name.startswith("zone-"):
            policy = agent.policy("zone_0")
            assert isinstance(policy, OfZone)
            assert listed == f"OfZone({type(policy.planner).__name__}())"
            continue
        assert listed == type(agent).__name__
        for setting in inspect.signature(type(agent)).parameters.values():
            default = setting.default
            shown = f" = {default:g}" if isinstance(default, float | int) else f" = {default}" if default else ""
            assert f"`{setting.name}`{shown}" in ROWS[name][5], (name, setting.name)


def test_every_name_is_measured():
    measured = {
        line.split("|")[1].strip(" `") for line in PAGE[PAGE.index("## Measured") :].splitlines() if "|" in line
    }
    assert measured >= set(names())


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_block_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "docs/agents.md", "exec"), {"__name__": "__page__"})
