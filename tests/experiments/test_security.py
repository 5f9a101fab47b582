"""Which attacks are survived, line by line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from agents import agent_from
from experiments import security
from experiments.evaluation import Starts, evaluate, played
from experiments.robustness_play import NOBODY, Cell, Contestant, Study
from experiments.security import ANYONE, BUDGET, OneAttack, RandomPlans, as_table, measured, prepared, survived
from marlgrid.task.opponents import ScheduleOpponent
from marlgrid.task.opponents.tape import PlannedAttack

STUDY = Study(case="case5", split="validation", episodes=5)
STEPS = 6


@pytest.fixture(scope="module")
def task():
    idle = Contestant("do-nothing", "do-nothing")
    return replace(STUDY.task(Cell(idle, Contestant(NOBODY, NOBODY), BUDGET)), opponent=OneAttack())


@pytest.mark.parametrize("prepare", [0, 2])
def test_each_line_is_as_in_an_episode_with_this_attack_alone(task, prepare):
    """Without preparation: the same as the schedule of one attack; the grid is alive if it lasts longer."""
    start = prepared(task, STUDY, prepare)
    assert (start.state.t - start.state.t_start == prepare).all()
    assert not start.state.attack.starts.any()
    lines = task.attack_actions.lines
    day, line = (part.ravel() for part in np.meshgrid(np.arange(5), lines, indexing="ij"))
    alive = survived(task, agent_from("greedy"), start, day, line, STEPS)
    assert alive.any()
    assert not alive.all()
    if prepare:
        return
    for number in lines:
        attack = PlannedAttack(0, task.system.grid.name_line[number], task.system.attack.max_duration)
        same = replace(task, opponent=ScheduleOpponent((attack,)))
        starts = STUDY.starts()
        starts = Starts(starts.seed, starts.scenario, starts.t_start, max_steps=STUDY.steps)
        steps = evaluate(same, agent_from("greedy"), starts).survived_steps
        assert ((steps >= STEPS) == alive[line == number]).all()


def test_random_plans_are_legal_and_kept_to_after_the_attack(task):
    task = replace(
        STUDY.task(Cell(Contestant("x", "greedy"), Contestant(NOBODY, NOBODY), BUDGET)), opponent=OneAttack()
    )
    kept, before = [], None
    for moment in played(task, RandomPlans(3), replace(STUDY.starts(), max_steps=8)):
        attacked = moment.before.state.attack.starts > 0
        masks = task.action_masks(moment.before.state)
        for zone, chosen in moment.choices.items():
            assert (masks[zone][np.arange(len(chosen)), chosen] > 0)[moment.before.state.running].all()
            if before is not None and attacked.all():
                kept.append((chosen == before[zone]).mean())
        before = moment.choices
    assert np.mean(kept) > 0.5


def test_anyone_survives_what_anybody_does():
    found = measured(STUDY, [Contestant("nobody", "do-nothing"), Contestant("greedy", "greedy")], 0, STEPS, tries=4)
    by = found.set_index(["defender", "day", "line"]).survived
    assert (by[ANYONE] >= by["nobody"]).all()
    assert (by[ANYONE] >= by["greedy"]).all()
    assert by["greedy"].mean() > by["nobody"].mean()


def test_the_table_counts_attacks_days_and_lines():
    rows = [("x", 0, "a", True), ("x", 0, "b", True), ("x", 1, "a", True), ("x", 1, "b", False)]
    found = pd.DataFrame([(0, *row) for row in rows], columns=["prepare", "defender", "day", "line", "survived"])
    assert as_table(found).splitlines()[-1] == "| 0 | x | 75% | 50% | 100% | 50% |"


def test_the_command_writes_what_it_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    told = ["--case", "case5", "--episodes", "2", "--tries", "1", "--steps", "3", "--defenders", "reconnect"]
    assert security.main([*told, "--prepare", "0", "1"]) == 0
    written = (tmp_path / "runs/security-case5/security.md").read_text()
    assert written in capsys.readouterr().out + "\n"
    assert len(written.splitlines()) == 2 + 4
