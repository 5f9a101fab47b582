"""Grid2Op and marlgrid in lock step: the same actions on the same data have the same consequences."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("grid2op")

from experiments.parity import main
from experiments.parity_lock_step import LockStep, Tally
from experiments.parity_step import judge_dispatch
from marlgrid.simulation import Reason, rules, step
from marlgrid.simulation.action import Commands, Kind, joint, no_attack
from tests.experiments.agreement import agree, quietly, worlds

STORAGE = "educ_case14_storage"


def test_both_trip_the_same_lines_in_the_same_waves():
    lock_step = quietly(lambda: LockStep("l2rpn_icaps_2021", limits=0.6))
    agree(lock_step, "topology", n_step=20, n_simulate=2, n_action=5)
    assert lock_step.tally.trips > 20


def test_other_rules_are_found_out():
    """The comparison can fail: here lines count as overloaded at a tenth of their limits."""
    honest = worlds(STORAGE)
    lock_step = object.__new__(LockStep)
    lock_step.__dict__.update(honest.__dict__)
    parameters = honest.system.parameters.changed({"soft_overflow_threshold": 0.1})
    lock_step.system = dataclasses.replace(honest.system, parameters=parameters)
    lock_step.stepper = type(honest.stepper)(lock_step.system, honest.stepper.solver)
    tally = quietly(lambda: lock_step.run("nothing", 3, progress=False))
    assert tally.mismatches


@pytest.fixture(scope="module")
def dispatched():
    """System, state before and state after a redispatch of 3 MW of generator 0."""
    lock_step = worlds(STORAGE)
    quietly(lambda: lock_step.reset(0))
    system, before = lock_step.system, lock_step.state
    action = joint([[Commands(np.array([Kind.REDISPATCH], np.int8), np.array([0], np.int32), np.array([3.0]))]])
    nobody = no_attack(1, system.grid.n_line)
    injections = lock_step.series.at(before.scenario, before.t + 1)
    assert rules.enforce(system, before, action, nobody).accepted.all()
    after, _ = step.advance(system, lock_step.stepper.solver, before, injections, action, nobody)
    return system, before, after


def test_our_dispatch_passes_against_any_other(dispatched):
    system, before, after = dispatched
    theirs = before.dispatch.actual[0]
    assert np.abs(after.dispatch.actual[0] - theirs).max() > 0.05
    assert judge_dispatch(system, before, after, theirs) == []


@pytest.mark.parametrize(
    ("moved", "complaint"),
    [([-1.0, 1.0], "worse"), ([1.0, 0.0], "out of balance"), ([100.0, -100.0], "out of bounds")],
)
def test_a_wrong_dispatch_is_found_out(dispatched, moved, complaint):
    system, before, after = dispatched
    theirs = after.dispatch.actual[0]
    ours = theirs.copy()
    ours[:2] += moved
    wrong = after._replace(dispatch=after.dispatch._replace(actual=ours[None]))
    assert any(complaint in problem for problem in judge_dispatch(system, before, wrong, theirs))


def test_the_last_line_says_how_many_steps_and_mismatches(capsys):
    assert quietly(lambda: main(["--case", "rte_case5_example", "--steps", "10", "--policy", "nothing"])) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "steps=10, mismatches=0"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"set_line_status": [(0, -1), (1, -1)], "redispatch": [(0, 100.0)]}, Reason.REDISPATCH_OUT_OF_RANGE),
        ({"set_line_status": [(0, -1), (1, -1)], "set_storage": [(0, 1e3)]}, Reason.STORAGE_OUT_OF_RANGE),
        ({"set_line_status": [(0, -1), (1, -1)], "curtail": [(2, 1.5)]}, Reason.CURTAILMENT_OUT_OF_RANGE),
        ({"set_line_status": [(0, -1), (1, -1)]}, Reason.TOO_MANY_LINES),
    ],
)
def test_what_is_out_of_range_is_told_before_a_quota(keys, reason):
    lock_step = worlds(STORAGE)
    lock_step.tally = Tally()
    quietly(lambda: (lock_step.reset(0), lock_step.step("first step", keys)))
    assert lock_step.tally.mismatches == []
    assert lock_step.tally.reasons == {reason.name: 1}
