"""The README keeps its word: every Python block runs, in order, each in a fresh namespace."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_first_line_says_what_this_is():
    first = README.splitlines()[0].lower()
    assert "power grid" in first


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0][:60] for block in BLOCKS])
def test_block_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "marlgrid.rllib" in block:
        pytest.importorskip("ray")
    exec(compile(block, "README.md", "exec"), {"__name__": "__readme__"})


def test_reason_codes_are_documented():
    from marlgrid.simulation.reason import Reason

    for reason in Reason:
        assert f"| {int(reason)} | `{reason.name}` |" in README


def test_outcome_codes_are_documented():
    from marlgrid.simulation.state import Outcome

    for outcome in Outcome:
        assert f"| {int(outcome)} | `{outcome.name}` |" in README
