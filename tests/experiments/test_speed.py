"""The speed comparison: what it prints is what it measured, and both sides of a what-if answer the same question."""

from __future__ import annotations

import json

import numpy as np
import pytest

from experiments import speed
from experiments.contenders import rate
from experiments.speed import Budget, Measured, Race
from marlgrid.simulation.state import Outcome

CASE = "l2rpn_case14_sandbox"


class Counting:
    """A contender whose rates are known."""

    def __init__(self, name, rates):
        self.name = name
        self.rates = iter(rates)
        self.asked = []

    def play(self, seconds):
        self.asked.append(seconds)
        return next(self.rates)


class Silent:
    def set_description(self, text):
        pass

    def update(self):
        pass


def test_a_race_takes_turns_after_a_warm_up():
    first, second = Counting("a", [1.0, 10.0, 30.0, 20.0]), Counting("b", [1.0, 5.0, 5.0, 4.0])
    result = speed.race("step", first, second, 2.0, 3, Silent())
    assert first.asked == second.asked == [0.2, 2.0, 2.0, 2.0]
    assert result == Race("step", "a", "b", (10.0, 30.0, 20.0), (5.0, 5.0, 4.0))
    assert result.ratio == 5.0
    text = speed.described(result)
    assert "20.0/s" in text
    assert "turns 10.0 to 30.0" in text
    assert "ratio 5.00" in text


def test_what_has_no_budget_gets_no_verdict():
    assert str(Measured("share", 41.234, "%")) == "measured=41.2%  share"
    assert speed.as_json([Measured("share", 41.2, "%")])["measured"] == [
        {"what": "share", "measured": 41.2, "unit": "%"}
    ]


@pytest.mark.parametrize(
    ("budget", "line"),
    [
        (Budget("steps", 10.0, 12.34), "budget=>=10x measured=12.3x met=yes  steps"),
        (Budget("steps", 10.0, 9.99), "budget=>=10x measured=9.99x met=no  steps"),
        (Budget("import", 1.5, 0.5, at_least=False, unit="s"), "budget=<=1.5s measured=0.5s met=yes  import"),
        (Budget("import", 1.5, 1.6, at_least=False, unit="s"), "budget=<=1.5s measured=1.6s met=no  import"),
    ],
)
def test_budget_lines(budget, line):
    assert str(budget) == line


def test_rate_counts_calls_and_prepares_each():
    prepared, acted = iter(range(10**9)), []
    per_second = rate(acted.append, 0.01, lambda: next(prepared))
    assert acted == list(range(len(acted)))
    assert per_second > 100


@pytest.mark.parametrize("argv", [["--seconds", "0"], ["--turns", "0"], ["--study", "height"], ["--turns", "many"]])
def test_bad_arguments(argv, capsys):
    with pytest.raises(SystemExit):
        speed.arguments(argv)
    assert "error" in capsys.readouterr().err


def test_step_study_end_to_end(tmp_path, capsys, monkeypatch):
    pytest.importorskip("grid2op")
    monkeypatch.setattr(speed, "pin_to_one_core", lambda: None)
    file = tmp_path / "deep" / "speed.json"
    speed.main(["--case", CASE, "--study", "step", "--seconds", "0.02", "--turns", "2", "--json", str(file)])
    figures = json.loads(file.read_text())
    assert [item["what"] for item in figures["races"]] == [f"step, {CASE}"] * 2
    assert ["do-nothing" in figures["races"][0]["first"], "random-legal" in figures["races"][1]["first"]] == [
        True,
        True,
    ]
    for item in figures["races"]:
        assert len(item["first_rates"]) == len(item["second_rates"]) == 2
        assert min(*item["first_rates"], *item["second_rates"], item["ratio"]) > 0
        assert item["first"].startswith("marlgrid, 4 agents")
        assert item["second"].startswith("Grid2Op 1.")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("budget=")]
    assert len(lines) == 2
    assert all("budget=>=10x measured=" in line and " met=" in line for line in lines)


def test_batch_and_zones_studies():
    pytest.importorskip("grid2op")
    found = speed.run([CASE], ["batch", "zones"], 0.01, 1)
    races = [item for item in found if isinstance(item, Race)]
    assert [item.what for item in races] == [f"batch, {CASE}"], "14 substations cannot have 20 zones"
    assert races[0].ratio > 0


def test_both_sides_of_a_what_if_answer_the_same_question():
    pytest.importorskip("grid2op")
    from experiments.contenders import Grid2OpWhatIf, WhatIf

    ours = WhatIf(CASE, 40, zones=3)
    theirs = Grid2OpWhatIf(CASE, ours)
    state = ours.outcomes()
    assert len(set(ours.chosen.tolist())) == 40
    survived = 0
    for row, (observation, _, done, info) in enumerate(theirs.outcomes()):
        assert not info["is_illegal"]
        assert not info["is_ambiguous"]
        assert done == (state.outcome[row] not in (Outcome.RUNNING, Outcome.TIME_LIMIT))
        if not done:
            survived += 1
            np.testing.assert_allclose(state.rho[row], observation.rho, atol=1e-4)
    assert survived >= 20


def test_parts_of_a_step_lie_within_each_other():
    from marlgrid.env.parallel import GridParallelEnv
    from marlgrid.task.task import Task

    before = GridParallelEnv.step, Task.advance
    (found,) = speed.run([CASE], ["parts"], 0.01, 1)
    assert (GridParallelEnv.step, Task.advance) == before, "what was timed is put back"
    spent = {name.strip(): microseconds for name, microseconds in found.rows}
    assert len(spent) == 14
    assert 0 < spent["power flow"] < spent["of the simulation"] < spent["of the task"]
    assert spent["of the task"] < spent["a step of the environment"]
    assert all(f"{name:<45}" in str(found) for name, _ in found.rows)
