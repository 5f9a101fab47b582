"""Calm and hard episodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.do_nothing import DoNothing
from experiments import strata as module
from experiments.evaluation import Starts, evaluate
from experiments.strata import main, select, starts_of_stratum, strata
from marlgrid.env.registry import make_task
from marlgrid.simulation.state import Outcome


@pytest.fixture(scope="module")
def task():
    return make_task("case5", opponent="random", split="test")


def test_calm_is_what_doing_nothing_survives_without_attack(task, tmp_path):
    starts = Starts.of_split(task, "test", 12, 60)
    found = strata(task, starts, tmp_path)
    peaceful = evaluate(replace(task, opponent=None), DoNothing(), starts)
    assert set(found) == {"calm", "hard"}, "episodes that tell the two apart"
    assert ((found == "calm") == (peaceful.outcome == Outcome.TIME_LIMIT)).all()
    calm = select(starts, found == "calm")
    assert evaluate(replace(task, opponent=None), DoNothing(), calm).survival.tolist() == [1.0] * len(calm.seed)


def test_episodes_of_one_kind(task, tmp_path):
    for stratum in ("calm", "hard"):
        starts = starts_of_stratum(task, "test", stratum, 3, 60, folder=tmp_path)
        assert strata(task, starts, tmp_path).tolist() == [stratum] * 3
    with pytest.raises(ValueError, match="unknown stratum 'easy'"):
        starts_of_stratum(task, "test", "easy", 3, 60, folder=tmp_path)
    with pytest.raises(ValueError, match="of 32 episodes of the test split only 0 are hard: ask for fewer"):
        starts_of_stratum(wide(task), "test", "hard", 2, 5, folder=tmp_path)


def wide(task):
    """No line is ever near its limit."""
    grid = replace(task.system.grid, thermal_limit=np.full(task.system.grid.n_line, 1e5))
    return replace(task, system=replace(task.system, grid=grid))


def test_what_was_found_is_kept_as_long_as_nothing_changes(task, tmp_path, monkeypatch):
    starts = Starts.of_split(task, "test", 3, 20)
    found = strata(task, starts, tmp_path)
    monkeypatch.setattr(module, "evaluate", None)
    assert (strata(task, starts, tmp_path) == found).all(), "read, not played again"
    assert (strata(replace(task, opponent=None), starts, tmp_path) == found).all(), "whoever attacks"
    limits = replace(task.system, parameters=task.system.parameters.changed({"hard_overflow_threshold": 1.5}))
    for changed in (replace(starts, t_start=starts.t_start + 1), replace(starts, max_steps=21)):
        with pytest.raises(TypeError):
            strata(task, changed, tmp_path)
    with pytest.raises(TypeError):
        strata(replace(task, system=limits), starts, tmp_path)


def test_command_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["--case", "case5", "--episodes", "4", "--steps", "20"])
    assert "of 4 episodes of 20 steps" in capsys.readouterr().out
    assert len(list((tmp_path / "runs" / "strata").glob("*.json"))) == 1
    assert np.isin(strata(*_same(), tmp_path / "runs" / "strata"), ["calm", "hard"]).all()


def _same():
    task = make_task("case5")
    return task, Starts.of_split(task, "test", 4, 20)
