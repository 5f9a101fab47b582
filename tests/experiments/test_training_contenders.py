"""The training and sampling comparisons count what was stepped, where it was stepped."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("ray")
pytest.importorskip("torch")

from experiments import training_contenders
from experiments.learning_curves import LAST, results, table, verdict
from experiments.settings import TrainSettings
from experiments.speed import ON_REQUEST, STUDIES, arguments
from experiments.training_contenders import Meter, Sampling, Training, batch_training, metered, read
from marlgrid.env.parallel import GridParallelEnv
from marlgrid.env.vector import GridVectorEnv, Infos
from marlgrid.rllib import RLlibParallelEnv


@pytest.fixture(autouse=True)
def _unmetered(monkeypatch):
    """Each test with a meter of its own, and the classes as they were afterwards."""
    monkeypatch.setattr(training_contenders, "METER", Meter())
    methods = (
        (GridVectorEnv, "step"), (Infos, "__getitem__"), (GridParallelEnv, "step"),
        (RLlibParallelEnv, "step"), (RLlibParallelEnv, "reset"),
    )  # fmt: skip
    for owner, name in methods:
        monkeypatch.setattr(owner, name, getattr(owner, name))


def test_the_meter_counts_steps_and_time():
    class Env:
        n_envs = 7

        def step(self, seconds, *, give):
            until = time.process_time() + seconds
            while time.process_time() < until:
                pass
            return give

    Env.step = metered(Env.step, lambda env: env.n_envs)
    assert Env().step(0.02, give="this") == "this"
    assert Env().step(0.01, give=None) is None
    steps, inside, total = read()
    assert steps == 14
    assert 0.03 <= inside < 0.1
    assert total > inside


def test_a_turn_is_made_of_whole_iterations():
    now = np.zeros(3)

    def iterate():
        now[:] += (100, 1.0, 2.0)

    training = Training("fake", iterate, now.copy)
    assert training.play(3.0) == 50.0
    assert now.tolist() == [200, 2.0, 4.0]
    assert training.play(0.1) == 50.0
    assert len(training.wall_rates) == 2


def test_training_on_the_batch_is_metered():
    settings = TrainSettings(
        case="case5",
        batch=100,
        minibatch=50,
        epochs=1,
        max_steps=24,
        scenarios=8,
        envs_per_runner=4,
        runners=1,
        hidden=8,
    )
    contender = batch_training(settings)
    assert contender.play(0.01) > 0
    steps, inside, total = read()
    assert steps >= 100
    assert steps % 4 == 0
    assert 0 < inside < total


def test_studies_that_take_minutes_are_made_when_named():
    assert arguments([]).study is None
    assert arguments(["--study", *ON_REQUEST]).study == list(ON_REQUEST)
    assert set(ON_REQUEST) < set(STUDIES)


def test_curves_are_compared_at_common_numbers_of_decisions():
    rising = np.array([[100.0, 0.0, 0.2], [300.0, 1.0, 0.2]])
    flat = np.array([[50.0, 0.5, 0.4], [200.0, 0.5, 0.4]])
    rows = table({"a": [rising, flat], "b": [flat]})
    assert [rows[0]["decisions"], rows[-1]["decisions"]] == [100.0, 200.0]
    assert rows[-1]["a"] == pytest.approx(0.5)
    assert rows[0]["a"] == pytest.approx(0.25)
    assert rows[0]["a error"] == pytest.approx(0.25)
    assert rows[0]["a logged"] == pytest.approx(0.3)
    assert all(row["b"] == 0.5 and row["b error"] == 0 for row in rows)


def test_the_verdict_is_on_the_end_of_the_runs():
    """Means 0.2 apart, of two seeds each 0.02 from theirs: Welch's t has 2 degrees of freedom, its quantile is 4.30."""

    def run(end):
        return np.array([[LAST * k / 4, 0.0 if k < 4 else end, 1.0 - end] for k in range(9)])

    curves = {"RLlib": [run(0.72), run(0.68)], "batch": [run(0.52), run(0.48)]}
    assert results(curves["RLlib"]) == pytest.approx([0.72, 0.68])
    held_out, logged = verdict(curves)
    half = 4.3027 * 0.02 * np.sqrt(2)
    assert f"+20.0 points ({100 * (0.2 - half):+.1f} to {100 * (0.2 + half):+.1f}" in held_out
    assert "-20.0 points" in logged


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batched", [True, False])
def test_the_cost_of_a_decision_is_that_of_its_steps_and_of_the_rest(batched):
    import ray

    settings = TrainSettings(case="case5", batch=100, minibatch=50, max_steps=24, scenarios=8, hidden=8)
    with np.errstate(all="ignore"):
        sampling = Sampling(settings, batched)
        for _ in range(3):
            sampling.play(0.05)
    ray.shutdown()
    cost = sampling.usual()
    assert 1 <= cost.steps < 24
    assert 0 < cost.environment < cost.total
    assert cost.share == pytest.approx(100 * cost.environment / cost.total)
