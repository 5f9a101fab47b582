"""What is counted in an episode, against totals that the task keeps itself, the L2RPN costs, and a known outage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.base import Memoryless
from agents.do_nothing import DoNothing
from agents.reconnect import Reconnect
from experiments.evaluation import Starts, evaluate, played
from experiments.robustness_measures import Meter, blackout_cost
from experiments.score import costs
from marlgrid.env.registry import make_task


def measured(task, agent, starts):
    meter = Meter(task.system, len(starts.seed))
    for moment in played(task, agent, starts):
        meter.hear(moment.before.state, moment.after.state)
    return meter.columns(), moment.after.state


@pytest.fixture(scope="module")
def task():
    return make_task("case5", opponent="random", split="test")


def test_costs_are_those_of_the_l2rpn_scores(task):
    starts = Starts.of_split(task, "test", 8, 60)
    columns, state = measured(task, Reconnect(), starts)
    assert state.lost.any(), "an episode that is lost"
    operation = sum(columns[f"cost_{part}"] for part in ("losses", "redispatch", "curtailment", "storage"))
    theirs = costs(task, Reconnect(), starts) - state.lost  # the step of a game over costs 1 there
    assert operation + blackout_cost(task, starts, state) == pytest.approx(theirs, rel=1e-12)


def test_attacks_are_the_tasks(task):
    starts = Starts.of_split(task, "test", 8, 288)
    meter = Meter(task.system, 8)
    for moment in played(task, DoNothing(), starts):
        meter.hear(moment.before.state, moment.after.state)
    assert (meter.recovery.attacks == moment.after.state.attack.starts).all()
    assert meter.columns()["recovered"].tolist() == [0] * 8, "who does nothing puts no line back"
    assert np.isnan(meter.columns()["recovery_steps"]).all()


def wide(task, amps):
    """The task with this limit on every line."""
    grid = replace(task.system.grid, thermal_limit=np.full(task.system.grid.n_line, amps))
    return replace(task, system=replace(task.system, grid=grid))


class PutsBack(Memoryless):
    """Puts every line back at the k-th step after it may."""

    def __init__(self, after):
        self.after = after

    def act(self, task, episode, outputs, memory):
        line = task.system.grid.name_line.index("1_2_3")
        due = episode.state.t - episode.state.t_start == self.after
        nothing, memory = DoNothing().act(task, episode, outputs, memory)
        back = task.make_action({"set_line_status": [(line, 1)]})
        zone = f"zone_{task.system.zones.line_or[line]}"
        return nothing | {zone: [back if now else nobody for now, nobody in zip(due, nothing[zone], strict=True)]}, ()


@pytest.mark.parametrize(("after", "expected"), [(5, 1), (9, 5)])
def test_recovery_counts_from_the_end_of_the_attack(after, expected):
    """Step 2 starts an attack of 3 steps (2, 3, 4): asked for at step 5, the line is back one step after the end."""
    task = wide(make_task("case5", opponent={"name": "schedule", "attacks": [(2, "1_2_3", 3)]}, split="test"), 1e4)
    starts = Starts.of_split(task, "test", 1, 20)
    found, _ = measured(task, PutsBack(after), starts)
    assert found["recovered"].tolist() == [1]
    assert found["recovery_steps"].tolist() == [expected]
    assert found["attacked_line_steps"].tolist() == [3]
    still = measured(task, DoNothing(), starts)[0]
    assert still["recovered"].tolist() == [0], "the line stays out"


def test_overload_is_counted_by_lines_and_by_hours():
    """With limits so low that every line is above: all lines in all steps."""
    task = make_task("case5", opponent=None, parameters={"no_overflow_disconnection": True}, split="test")
    tight = wide(task, 1e-3)
    starts = Starts.of_split(tight, "test", 2, 12)
    columns, _ = measured(tight, DoNothing(), starts)
    assert columns["overload_line_steps"].tolist() == [72, 72]
    assert columns["overload_hours"] == pytest.approx([1.0, 1.0])
    assert (columns["worst_rho"] > 1).all()
    assert evaluate(tight, DoNothing(), starts).survival.tolist() == [1, 1]
