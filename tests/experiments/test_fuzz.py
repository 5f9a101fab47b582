"""Hostile actions are errors that change nothing, or refused and reported."""

from __future__ import annotations

import pytest

from experiments.fuzz import BUILTIN, FOLDERS, Fuzz


@pytest.mark.parametrize("case", ["case5", "case14"])
def test_hostile_actions(case):
    found = Fuzz(case, seed=0).run(700)
    assert found.problems == []
    assert {"ValueError", "TypeError", "ACCEPTED", "NOT_IN_ZONE", "LINE_COOLDOWN"} <= set(found.answers)


@pytest.mark.slow
@pytest.mark.parametrize("case", BUILTIN + FOLDERS)
def test_many_hostile_actions(case):
    if case in FOLDERS:
        pytest.importorskip("grid2op")
    assert Fuzz(case, seed=1).run(15_000).problems == []
