"""The training study: intervals, paired evaluation, settings, reward, attacks, and a whole small run."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from agents import DoNothing, Greedy
from experiments.bootstrap import difference_interval, mean_interval
from experiments.evaluation import Starts, evaluate
from marlgrid.env.registry import make_task
from marlgrid.simulation.action import Kind
from marlgrid.simulation.state import Outcome

ROOT = Path(__file__).parents[2]


# ------------------------------------------------------------------------------------------------ intervals
@pytest.mark.parametrize(("ones", "n"), [(10, 50), (37, 50), (3, 20)])
def test_the_interval_of_a_rate_is_the_binomial_one(ones, n):
    """Means of resamples of zeros and ones are binomial: the percentile interval is known exactly."""
    values = np.repeat([1.0, 0.0], [ones, n - ones])
    low, high = mean_interval(values, n_resample=200_000)
    exact = binom.ppf([0.025, 0.975], n, ones / n) / n
    assert [low, high] == pytest.approx(exact, abs=1 / n + 1e-9)
    wide = mean_interval(values, level=0.99, n_resample=200_000)
    assert wide == pytest.approx(binom.ppf([0.005, 0.995], n, ones / n) / n, abs=1 / n + 1e-9)


def test_the_interval_of_a_normal_mean():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=2000)
    half = 1.96 * values.std() / np.sqrt(2000)
    assert mean_interval(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_intervals_of_constants_and_of_pairs():
    assert mean_interval(np.full(7, 0.3)) == pytest.approx((0.3, 0.3))
    first = np.random.default_rng(1).normal(size=30)
    assert difference_interval(first + 0.5, first) == pytest.approx((0.5, 0.5))
    assert mean_interval(first) == mean_interval(first)


def test_wrong_values_are_refused():
    for values in ([], [[1.0]]):
        with pytest.raises(ValueError, match="give"):
            mean_interval(np.array(values))
    with pytest.raises(ValueError, match="level"):
        mean_interval(np.ones(3), level=95)
    with pytest.raises(ValueError, match="pairs"):
        difference_interval(np.ones(3), np.ones(4))


# ------------------------------------------------------------------------------------------------ evaluation
def test_an_evaluation_is_paired_and_repeatable():
    def run(agent):
        task = make_task("case5", opponent="random", split="test")
        starts = Starts.of_split(task, "test", 8, 30)
        return starts, evaluate(task, agent, starts)

    (starts, first), (again, second), (_, greedy) = run(DoNothing()), run(DoNothing()), run(Greedy())
    np.testing.assert_array_equal(starts.seed, again.seed)
    for a, b in zip(vars(first).values(), vars(second).values(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(first.scenario, greedy.scenario)
    assert len(set(first.scenario)) == 8
    assert first.attacks.sum() > 0
    np.testing.assert_allclose(first.survival, first.survived_steps / 30)
    assert sum(first.outcomes().values()) == 8
    lost = first.outcome > Outcome.TIME_LIMIT
    np.testing.assert_array_equal(first.unserved_mwh > 0, lost)
    assert (first.illegal == 0).all()


def test_evaluation_matches_single_episodes():
    task = make_task("case5", opponent="weighted", split="test", difficulty="hard")
    starts = Starts.of_split(task, "test", 4, 40)
    whole = evaluate(task, DoNothing(), starts)
    for k in range(4):
        one = Starts(starts.seed[k : k + 1], starts.scenario[k : k + 1], starts.t_start[k : k + 1], 40)
        alone = evaluate(task, DoNothing(), one)
        assert alone.survived_steps[0] == whole.survived_steps[k]
        assert alone.unserved_mwh[0] == pytest.approx(whole.unserved_mwh[k])


def test_held_out_scenarios_are_not_those_of_training():
    task = make_task("case14")
    chosen = {split: set(Starts.of_split(task, split, 50, 288).scenario) for split in ("train", "validation", "test")}
    assert not chosen["train"] & chosen["test"]
    assert not chosen["validation"] & chosen["test"]
    with pytest.raises(ValueError, match="choose from"):
        Starts.of_split(task, "exam", 5, 10)


def test_the_watcher_sees_survival_fall():
    task = make_task("case14", split="test")
    seen = []
    results = evaluate(task, DoNothing(), Starts.of_split(task, "test", 16, 60), lambda *call: seen.append(call))
    assert [call[0] for call in seen] == list(range(1, len(seen) + 1))
    assert seen[-1][2] >= results.survival.mean()
    assert all(call[1] == 60 for call in seen)


# ------------------------------------------------------------------------------------------------ the task
@pytest.fixture(scope="module")
def tasks():
    pytest.importorskip("tqdm")
    from experiments import tasks

    return tasks


def test_the_zones_cannot_weaken_the_grid(tasks):
    system = make_task("case14").system
    table = tasks.gentle_actions(system).table
    kinds = set(table.commands.kind.tolist())
    assert kinds == {Kind.SET_LINE_STATUS, Kind.REDISPATCH, Kind.CURTAIL, Kind.SET_STORAGE}
    assert (table.commands.value[table.commands.kind == Kind.SET_LINE_STATUS] > 0).all()


def test_the_reward_prefers_survival(tasks):
    """A blackout costs more the earlier it is, calm steps cost nothing, loaded ones little."""
    task = make_task("case14", reward=tasks.MarginReward(), split="validation")
    starts = Starts.of_split(task, "validation", 30, 120)
    episode, outputs = task.reset(starts.seed, starts.scenario, starts.t_start, np.full(30, 120))
    while episode.state.running.any():
        before = episode
        episode, outputs = task.step(episode, DoNothing().act(task, episode, outputs, ())[0])
        reward = outputs.rewards["zone_0"]
        left = (episode.state.t_end - episode.state.t) / 120
        strain = np.clip(episode.state.rho - 0.95, 0, 1).sum(axis=1)
        lost = before.state.running & (episode.state.outcome > Outcome.TIME_LIMIT)
        alive = before.state.running & ~lost
        np.testing.assert_allclose(reward[lost], -1 - 2 * left[lost])
        np.testing.assert_allclose(reward[alive], -strain[alive])
        np.testing.assert_array_equal(reward, outputs.rewards["zone_2"])


def test_observation_scales_are_those_of_dangerous_steps(tasks):
    task = make_task("case14", observation={"scope": "global", "attributes": ("rho", "time_of_day")})
    scales = tasks.observation_scales(task, 0.9, n_episode=16, max_steps=48)
    mean, std = scales["zone_1"]
    assert mean[:20].max() > 0.75  # some line is loaded in every step that counts
    assert (std >= 0.05).all()
    calm = tasks.observation_scales(task, 0.0, n_episode=16, max_steps=48)["zone_1"][0]
    assert calm[:20].max() < mean[:20].max()


def test_no_input_drowns_the_others_under_attack(tasks):
    """What an attack changes, rare as it is, stays within a few deviations; the loadings keep a part of the picture."""
    from experiments.settings import TrainSettings

    settings = TrainSettings(attacked_share=0.25)
    mean, std = tasks.scales_of(settings, tasks.TrainingTask(settings)())["zone_0"]
    task = tasks.task_of(settings, "random", "validation")
    starts = Starts.of_split(task, "validation", 24, 288)
    episode, outputs = task.reset(starts.seed, starts.scenario, starts.t_start, np.full(24, 288))
    for _ in range(2):
        episode, outputs = task.step(episode, dict.fromkeys(task.zones, np.zeros(24, int)))
    assert (episode.state.attack.remaining > 0).any(axis=1).all()
    # of a lost grid everything reads 0
    running = episode.state.running
    assert running.sum() > 12
    seen = (outputs.observations["zone_0"][running] - mean) / std
    assert np.abs(seen).max() < 8
    rho = [k for k, name in enumerate(task.observation.feature_names("zone_0")) if name.startswith("rho ")]
    assert np.square(seen[:, rho]).sum() > 0.05 * np.square(seen).sum()


# ------------------------------------------------------------------------------------------------ settings
def test_every_setting_is_an_option():
    from experiments.settings import TrainSettings, settings_from

    assert settings_from([]) == TrainSettings()
    made = settings_from(["--case", "case5", "--minutes", "0.5", "--resume", "--hidden", "16", "--name", "x"])
    assert (made.case, made.minutes, made.resume, made.hidden) == ("case5", 0.5, True, 16)
    assert made.folder == Path("runs/x")
    assert settings_from(["--case", "/data/l2rpn_x/"]).folder == Path("runs/l2rpn_x")
    with pytest.raises(SystemExit):
        settings_from(["--minute-s", "1"])


# ------------------------------------------------------------------------------------------------ a whole run
SMALL = (
    "--case", "case5", "--batch", "200", "--minibatch", "100", "--max-steps", "24", "--test-episodes", "4",
    "--validation-episodes", "4", "--scenarios", "8", "--envs-per-runner", "4", "--act-above", "0.5",
)  # fmt: skip


def train(folder, *options, **popen):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "experiments.train", *SMALL, *options]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **popen
    )


def checked(process):
    out, _ = process.communicate(timeout=900)
    assert process.returncode == 0, out
    return out


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_run_leaves_everything_and_can_be_resumed(tmp_path):
    pytest.importorskip("ray")
    from marlgrid.rllib import load_policies

    out = checked(train(tmp_path, "--iterations", "2", "--name", "a"))
    folder = tmp_path / "runs" / "a"
    for name in ("settings.json", "learning.csv", "learning_curve.png", "results.csv", "results.json"):
        assert (folder / name).stat().st_size > 0
    table = rows_of(folder / "results.csv")
    assert [(row["team"], row["opponent"]) for row in table] == [
        (team, opponent) for team in ("trained", "do-nothing", "greedy") for opponent in ("none", "random", "weighted")
    ]
    for row in table:
        assert 0 <= float(row["low"]) <= float(row["survival"]) <= float(row["high"]) <= 1
        assert row["team"] in out
    episodes = json.loads((folder / "results.json").read_text())["episodes"]
    assert len({tuple(result["scenario"]) for result in episodes.values()}) == 1
    assert set(load_policies(folder / "checkpoint")) == {"zone_0", "zone_1"}
    assert [int(row["iteration"]) for row in rows_of(folder / "learning.csv")] == [1, 2]
    checked(train(tmp_path, "--iterations", "1", "--name", "a", "--resume"))
    log = rows_of(folder / "learning.csv")
    assert [int(row["iteration"]) for row in log] == [1, 2, 3]
    assert int(log[2]["decisions"]) > int(log[1]["decisions"])
    assert float(log[2]["seconds"]) > float(log[1]["seconds"])


@pytest.mark.slow
def test_ctrl_c_keeps_the_checkpoint_and_still_compares(tmp_path):
    pytest.importorskip("ray")
    process = train(tmp_path, "--iterations", "100000", "--name", "b")
    checkpoint = tmp_path / "runs" / "b" / "checkpoint"
    for _ in range(600):
        if checkpoint.exists() or process.poll() is not None:
            break
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out = checked(process)
    assert "training stopped" in out
    assert (tmp_path / "runs" / "b" / "results.csv").exists()
    assert checkpoint.is_dir()


def test_resuming_nothing_is_an_error(tmp_path):
    pytest.importorskip("ray")
    process = train(tmp_path, "--resume", "--name", "none")
    out, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "nothing to resume in runs/none/" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [("--policies", "shared"), ("--algorithm", "mappo", "--opponent", "learned", "--act-above", "0")],
)
def test_rllib_takes_every_kind_of_team(tmp_path, options):
    """Shared networks, centralised critics and an opponent that learns, as the program on the batch has them."""
    pytest.importorskip("ray")
    from marlgrid.rllib import load_policies

    checked(train(tmp_path, "--iterations", "1", "--name", "c", "--runners", "0", *options))
    expected = {"zones"} if "shared" in options else {"zone_0", "zone_1", "opponent_0"}
    assert set(load_policies(tmp_path / "runs" / "c" / "checkpoint")) == expected
