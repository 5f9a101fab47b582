"""Priced costs, a curriculum and networks to start from in the program on RLlib."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("ray")
pytest.importorskip("torch")

from experiments.curriculum import Finished
from experiments.settings import TrainSettings
from experiments.train import RLlibTeam, told
from marlgrid.rllib import PricedCost, RLlibParallelEnv, make_env
from marlgrid.rllib.policies import load_states

pytestmark = [
    # RLlib's own code and what it calls, in this process
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SMALL = TrainSettings(
    case="case5", batch=100, minibatch=50, epochs=1, max_steps=24, scenarios=8, envs_per_runner=4, runners=0,
    act_above=0.5, hidden=8, opponent="random", attacked_share=1.0,
)  # fmt: skip


@pytest.fixture
def team():
    """Makes a learner in place of the one before."""
    made = []

    def make(**changes):
        while made:
            made.pop().close()
        with np.errstate(all="ignore"):
            made.append(RLlibTeam(replace(SMALL, **changes)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def iterate(learner, n):
    with np.errstate(all="ignore"):
        return [learner.iterate() for _ in range(n)]


def test_the_rewards_of_an_episode_are_less_the_price_of_all_its_steps():
    """Two environments play the same episode, calm steps between the decisions included; one has a price."""
    options = {"case": "case14", "difficulty": "hard", "start": "random", "max_steps": 60, "act_above": 0.9}
    totals = []
    for cost in (None, PricedCost("overload", limit=0.5, price=3.0)):
        env, total = make_env({**options, "cost": cost}), 0.0
        env.reset(seed=3)
        while env.par_env.agents:
            _, rewards, *_, infos = env.step({})
            total += rewards["zone_1"]
        totals.append(total)
    paid = sum(own["overload_total"] for own in infos.values())
    assert paid > 0
    assert [own["cost"] for own in infos.values()] == pytest.approx([paid] * len(infos))
    assert totals[1] == pytest.approx((totals[0] - 3.0 * paid / 0.5) / 4.0)
    env.reset(seed=3)
    *_, infos = env.step({})
    assert infos["zone_0"]["cost"] < paid


def test_each_environment_has_a_price_of_its_own():
    cost = PricedCost("overload", limit=1.0)
    first, second = (make_env({"case": "case5", "cost": cost}) for _ in range(2))
    assert isinstance(first, RLlibParallelEnv)
    first.cost.price = 2.0
    assert second.cost.price == cost.price == 0.0


@pytest.mark.parametrize("algorithm", ["ippo", pytest.param("mappo", marks=pytest.mark.slow)])
def test_a_cost_over_its_limit_gets_a_price_in_the_sampling_too(team, algorithm, tmp_path):
    """With sampling from the batch and with RLlib's own; going on takes the price up again."""
    name = str(tmp_path / "run")
    learner = team(cost="overload", cost_limit=0.01, algorithm=algorithm, name=name)
    rows = iterate(learner, 2)
    assert rows[0]["cost"] > 0.01
    assert 0 < rows[0]["multiplier"] < rows[1]["multiplier"]
    runner = learner.algo.env_runner
    costs = [runner.cost] if algorithm == "ippo" else [env.unwrapped.cost for env in runner.env.envs]
    assert {cost.price for cost in costs} == {rows[0]["multiplier"]}  # what the last samples were priced with
    told(runner, runner.config.env_config["case"], 0.5)
    assert {cost.price for cost in costs} == {0.5}  # where the task is the same, episodes go on
    learner.save(learner.settings.folder / "checkpoint")
    again = team(cost="overload", cost_limit=0.01, algorithm=algorithm, name=name, resume=True)
    assert again.multiplier == learner.multiplier


def test_a_curriculum_goes_on_in_the_sampling_too(team, tmp_path):
    changes = {
        "curriculum": "easy:none,default:day-1", "curriculum_survival": 0.0, "curriculum_episodes": 5,
        "name": str(tmp_path / "run"),
    }  # fmt: skip
    learner = team(**changes)
    rows = iterate(learner, 4)
    assert [row["level"] for row in rows] == [0, 1, 2, 2]
    assert rows[0]["attacks_total"] == 0 < rows[3]["attacks_total"]
    assert learner.algo.env_runner.config.env_config["case"].settings.difficulty == "default"
    learner.save(learner.settings.folder / "checkpoint")
    again = team(**changes, resume=True)
    assert again.level == 2
    assert iterate(again, 1)[0]["attacks_total"] > 0
    assert [row["level"] for row in iterate(team(**{**changes, "curriculum_survival": 1.1}), 2)] == [0, 0]


@pytest.mark.slow
def test_starting_from_a_checkpoint_of_either_program(team, tmp_path):
    from experiments.train_batch import BatchTeam

    other = BatchTeam(replace(SMALL, seed=5))
    (tmp_path / "batch").mkdir()
    other.save(tmp_path / "batch")
    learner = team(start_from=str(tmp_path / "batch"))
    learner.save(tmp_path / "rllib")
    for name, state in load_states(tmp_path / "batch").items():
        for key, values in load_states(tmp_path / "rllib")[name].items():
            np.testing.assert_array_equal(values, state[key])
    sampling = learner.algo.env_runner.module["zone_0"].get_state()
    np.testing.assert_array_equal(
        sampling["actor.0.weight"], load_states(tmp_path / "batch")["zone_0"]["actor.0.weight"]
    )
    with pytest.raises(ValueError, match="does not fit"), np.errstate(all="ignore"):
        team(hidden=4, start_from=str(tmp_path / "batch"))


def test_survival_over_the_last_episodes_out_of_means():
    finished = Finished(10)
    assert (finished.episodes, finished.survival) == (0, 0.0)
    for part in ((4, 0.0), (0, float("nan")), (5, 0.2)):
        finished.add(*part)
    assert (finished.episodes, finished.survival) == (9, pytest.approx(1 / 9))
    finished.add(6, 1.0)
    assert (finished.episodes, finished.survival) == (11, pytest.approx(7 / 11))
