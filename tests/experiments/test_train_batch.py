"""PPO on the batch: the same networks and estimates as RLlib's, exact resuming, legal actions, a whole run."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")

from experiments.batch_networks import StackedLayers  # noqa: E402
from experiments.batch_rollout import Rollout  # noqa: E402
from experiments.evaluation import Starts, evaluate  # noqa: E402
from experiments.learning import Validation  # noqa: E402
from experiments.settings import TrainSettings, settings_from  # noqa: E402
from experiments.tasks import task_of  # noqa: E402
from experiments.train_batch import BatchTeam  # noqa: E402
from marlgrid.rllib.networks import layers  # noqa: E402
from marlgrid.rllib.policies import load_policies  # noqa: E402
from marlgrid.simulation.rules import Reason  # noqa: E402
from marlgrid.task.accounts import Demand  # noqa: E402

ROOT = Path(__file__).parents[2]
SMALL = TrainSettings(
    case="case5",
    batch=200,
    minibatch=50,
    epochs=3,
    max_steps=24,
    scenarios=8,
    envs_per_runner=8,
    runners=1,
    act_above=0.5,
    hidden=16,
    validation_episodes=4,
)
VARIANTS = {
    "default": SMALL,
    "shared": replace(SMALL, policies="shared"),
    "central": replace(SMALL, algorithm="mappo"),
    "learned opponent": replace(SMALL, opponent="learned", act_above=0.0),
    "single agent": replace(SMALL, zones=1),
    "opponent alone": replace(
        SMALL, learner="opponent", algorithm="mappo", defenders="reconnect+random-legal", opponent_reward="blackout"
    ),
    "all of it": replace(SMALL, policies="shared", algorithm="mappo", opponent="learned", act_above=0.0),
}


def arrays_of(team):
    return [array for state in team.networks.states().values() for array in state.values()]


def watched(team):
    """The learner, refusing illegal choices."""
    step = team.batch.step

    def checked(choices):
        for k, agent in enumerate(team.agents):
            assert team.mask[k, np.arange(team.batch.n_envs), choices[agent]].all()
        steps = step(choices)
        for zone in team.batch.task.zones:
            info = steps.infos[zone]
            # masks hold the rules of each zone; that the joint dispatch has no solution is known only after the solve
            refused = info["reason"][info["illegal"] > 0]
            assert (refused == Reason.DISPATCH_INFEASIBLE).all()
        return steps

    team.batch.step = checked
    return team


# ------------------------------------------------------------------------------------------------ networks
def test_stacked_layers_are_each_network_and_learn_like_it():
    """Networks of different widths: values and gradients of the stack are those of each alone."""
    torch.manual_seed(0)
    alone = [layers([5, 8, 3], last_gain=1.0), layers([7, 8, 4], last_gain=1.0)]
    stack = StackedLayers(alone)
    member = torch.tensor([0, 0, 1])
    inputs = torch.zeros(3, 6, 7)
    inputs[:2, :, :5], inputs[2] = torch.randn(2, 6, 5), torch.randn(6, 7)
    whole = stack(inputs, member)
    single = [alone[0](inputs[0, :, :5]), alone[0](inputs[1, :, :5]), alone[1](inputs[2])]
    for made, expected in zip(whole, single, strict=True):
        torch.testing.assert_close(made[:, : expected.shape[1]], expected)
    sum(part.square().sum() for part in single).backward()
    (whole[:2, :, :3].square().sum() + whole[2].square().sum()).backward()
    for k, network in enumerate(alone):
        for depth, linear in enumerate(part for part in network if isinstance(part, torch.nn.Linear)):
            n_out, n_in = linear.weight.shape
            gradient = stack.weights[depth].grad[k]
            torch.testing.assert_close(gradient[:n_in, :n_out], linear.weight.grad.T)
            assert not gradient[n_in:].any()
            torch.testing.assert_close(stack.biases[depth].grad[k, 0, :n_out], linear.bias.grad)


@pytest.mark.parametrize("central", [False, True])
def test_states_are_those_of_rllibs_modules(central):
    """A module of RLlib takes the arrays as its own, and gives the same logits and values."""
    pytest.importorskip("ray")
    from gymnasium import spaces

    from marlgrid.rllib.modules import CentralCriticModule, MaskedModule

    team = BatchTeam(replace(SMALL, algorithm="mappo" if central else "ippo"))
    team.iterate()
    for k, agent in enumerate(team.agents):
        action, shown = team.batch.action_space(agent), team.batch.observation_space(agent)
        module = (CentralCriticModule if central else MaskedModule)(
            observation_space=spaces.Dict({**shown, "state": team.batch.state_space}),
            action_space=action,
            model_config={"hiddens": (16, 16)},
        )
        state = team.networks.states()[agent]
        assert set(state) == set(module.get_state())
        module.set_state(state)
        n, width = team.seen.shape[1], shown["observation"].shape[0]
        observation = torch.from_numpy(team.seen[k, :, :width].copy())
        mask, central_state = torch.ones(n, action.n), torch.from_numpy(team.batch.state())
        obs = {"observation": observation, "action_mask": mask, "state": central_state}
        standard = team.networks.standardised(torch.from_numpy(team.seen))
        logits = team.networks.logits(standard, torch.ones(team.mask.shape, dtype=torch.bool))[k, :, : action.n]
        torch.testing.assert_close(module.forward_inference({"obs": obs})["action_dist_inputs"], logits)
        values = team.networks.values(standard, central_state)[k]
        torch.testing.assert_close(module.compute_values({"obs": obs}), values)


def test_untrained_networks_start_as_in_rllib():
    """Doing nothing has the probability asked for."""
    team = BatchTeam(replace(SMALL, idle_probability=0.8))
    everything = torch.zeros(team.mask.shape, dtype=torch.bool)
    for k, agent in enumerate(team.agents):
        everything[k, :, : team.batch.action_space(agent).n] = True
    probability = team.networks.logits(torch.zeros(team.seen.shape), everything).softmax(dim=-1)[..., 0]
    torch.testing.assert_close(probability, torch.full_like(probability, 0.8))


# ------------------------------------------------------------------------------------------------ estimates
class Values:
    """Stands for networks: the value is the first number seen."""

    def values(self, seen, state):
        return seen[..., 0]


def test_advantages_against_the_definition():
    """Three environments: one lost, one cut by the time limit and begun anew, one that never decides."""
    gamma, lam = 0.9, 0.7
    rollout = Rollout(n_agent=1, n_env=3, capacity=20, width=1, n_action=2, n_state=0)
    value = iter(np.linspace(1.0, 2.0, 20).round(2))
    made = {0: [], 1: []}

    def decide(*envs):
        seen = np.array([[[next(value)] for _ in envs]], np.float32)
        for env, number in zip(envs, seen[0, :, 0], strict=True):
            made[env].append(float(number))
        ones = np.ones((1, len(envs)))
        rollout.decide(np.array(envs), seen, ones[..., None] > 0, np.zeros((len(envs), 0)), ones, ones)

    decide(0, 1)
    rollout.earn(np.array([[1.0, 10.0, 100.0]]))
    decide(1)  # environment 0 stays calm: its decision earns on
    rollout.earn(np.array([[2.0, 20.0, 100.0]]))
    decide(0)
    rollout.earn(np.array([[4.0, 40.0, 100.0]]))
    rollout.end(0, None)
    rollout.end(1, (np.array([[5.0]], np.float32), np.zeros(0, np.float32)))
    rollout.earn(np.array([[8.0, 80.0, 100.0]]))
    decide(1)
    rollout.earn(np.array([[16.0, 160.0, 100.0]]))
    assert (rollout.n, rollout.n_closed) == (5, 4)
    advantage, target = (part[0].numpy() for part in rollout.advantages(Values(), gamma, lam))
    (a0, a1), (b0, b1, _) = made[0], made[1]
    last0 = 4.0 - a1
    last1 = 60.0 + gamma * 5.0 - b1
    expected = {
        0: 3.0 + gamma * a1 - a0 + gamma * lam * last0,
        1: 10.0 + gamma * b1 - b0 + gamma * lam * last1,
        2: last1,
        3: last0,
        4: 0.0,
    }
    np.testing.assert_allclose(advantage, list(expected.values()), rtol=1e-5)
    np.testing.assert_allclose(target[:4] - advantage[:4], [a0, b0, b1, a1], rtol=1e-5)
    np.testing.assert_array_equal(rollout.closed_rows(), [0, 1, 2, 3])
    rollout.restart()
    assert (rollout.n, rollout.n_closed, rollout.open.tolist()) == (1, 0, [-1, 0, -1])
    assert rollout.reward[0, 0] == 160.0


# ------------------------------------------------------------------------------------------------ learning
@pytest.mark.parametrize("name", list(VARIANTS))
def test_every_variant_learns_legally_and_its_checkpoint_plays(name, tmp_path):
    settings = VARIANTS[name]
    team = watched(BatchTeam(settings))
    before = arrays_of(team)
    for iteration in (1, 2):
        row = team.iterate()
        assert row["iteration"] == iteration
        assert row["decisions"] >= iteration * settings.batch
        assert np.isfinite(list(row.values())).all()
    changed = [not np.array_equal(a, b) for a, b in zip(before, arrays_of(team), strict=True)]
    assert sum(changed) >= 8 * len(team.networks.names)
    team.save(tmp_path / "checkpoint")
    policies = load_policies(tmp_path / "checkpoint")
    zones = {"zones"} if settings.policies == "shared" else {f"zone_{k}" for k in range(settings.zones or 2)}
    zones = set() if settings.learner == "opponent" else zones
    assert set(policies) == zones | ({"opponent_0"} if settings.opponent_learns else set())
    assert {policy.act_above for policy in policies.values()} == {settings.act_above if zones else 0.0}
    assert 0 < Validation(settings)(team.team())["validation"] <= 1
    if not zones:
        return
    task = task_of(settings, "random", "test")
    played = evaluate(task, team.team().load(tmp_path / "checkpoint"), Starts.of_split(task, "test", 6, 24))
    same = evaluate(task, team.team(), Starts.of_split(task, "test", 6, 24))
    np.testing.assert_array_equal(played.survived_steps, same.survived_steps)


@pytest.mark.parametrize("name", ["default", "opponent alone", "all of it"])
def test_resuming_changes_nothing_and_the_seed_fixes_everything(name, tmp_path):
    settings = replace(VARIANTS[name], name=str(tmp_path / "run"))
    straight, broken = BatchTeam(settings), BatchTeam(settings)
    rows = [straight.iterate() for _ in range(3)]
    assert rows[0] == broken.iterate()
    broken.save(settings.folder / "checkpoint")
    resumed = BatchTeam(replace(settings, resume=True))
    assert [resumed.iterate() for _ in range(2)] == rows[1:]
    # saving disturbs nothing either
    assert [broken.iterate() for _ in range(2)] == rows[1:]
    for team in (broken, resumed):
        for one, other in zip(arrays_of(straight), arrays_of(team), strict=True):
            np.testing.assert_array_equal(one, other)
    other = BatchTeam(replace(settings, seed=1))
    assert other.iterate() != rows[0]


def test_learning_follows_the_reward():
    """Paid for nothing but idling, a team that hardly ever idles learns to do nothing else."""
    team = BatchTeam(replace(SMALL, idle_probability=0.05, act_above=0.0, gamma=0.0, epochs=8, learning_rate=5e-3))
    step, idle = team.batch.step, []

    def paid(choices):
        idle.append(np.mean([choices[agent] == 0 for agent in team.agents]))
        return step(choices)._replace(rewards={agent: (choices[agent] == 0).astype(float) for agent in team.agents})

    team.batch.step = paid
    for _ in range(8):
        team.iterate()
    per_iteration = np.array_split(idle, 8)
    assert per_iteration[0].mean() < 0.3
    assert per_iteration[-1].mean() > 0.8


def test_calm_steps_go_to_the_decision_before_them():
    """Every reward from an episode's first decision on is some decision's, and no other one's."""
    team = BatchTeam(replace(SMALL, act_above=1.0, max_steps=40))
    n_env, n_agent = team.batch.n_envs, len(team.agents)
    step, decide = team.batch.step, team.rollout.decide
    expected, calm, begun = np.zeros(n_agent), [0], np.zeros(n_env, bool)

    def watched_decide(envs, *columns):
        begun[envs] = True
        calm[0] += n_env - len(envs)
        return decide(envs, *columns)

    def watched_step(choices):
        steps = step(choices)
        for k, agent in enumerate(team.agents):
            expected[k] += steps.rewards[agent][begun].sum()
        begun[steps.terminations["zone_0"] | steps.truncations["zone_0"]] = False
        return steps

    team.batch.step, team.rollout.decide = watched_step, watched_decide
    while team.rollout.n_closed < 150:
        team._step()
    assert calm[0] > 20
    assert expected.min() < 0
    np.testing.assert_allclose(team.rollout.reward[:, : team.rollout.n].sum(axis=1), expected, rtol=1e-4)


def test_an_opponent_is_asked_where_it_may_attack_and_its_reward_is_what_was_asked_for():
    settings = replace(VARIANTS["opponent alone"], defenders="do-nothing", attack_budget="day-2")
    team = BatchTeam(settings)
    asked = team.batch.step
    gained, survival = np.zeros(team.batch.n_envs), []

    def watched_step(choices):
        may = team.mask[0, :, 1:].any(axis=1)
        np.testing.assert_array_equal(team.asked, may)
        assert not choices["opponent_0"][~may].any()
        steps = asked(choices)
        gained[:] += steps.rewards["opponent_0"]
        for env in np.flatnonzero(steps.terminations["zone_0"] | steps.truncations["zone_0"]):
            survival.append((-gained[env], steps.infos["zone_0"]["survival"][env]))
            gained[env] = 0.0
        return steps

    team.batch.step = watched_step
    for _ in range(60):
        team._step()
    assert len(survival) > 8
    np.testing.assert_allclose(*np.array(survival).T, atol=1e-9)


def test_unserved_energy_as_an_opponents_reward():
    settings = replace(VARIANTS["opponent alone"], opponent_reward="unserved", max_steps=24)
    task = task_of(settings, "learned", "train")
    episode, outputs = task.reset(np.arange(16), 0, np.arange(16) * 60, 24)
    gained, idle = np.zeros(16), dict.fromkeys(task.zones, [0] * 16)
    while episode.state.running.any():
        attack = np.where(outputs.masks["opponent_0"][:, 1] > 0, 1, 0)
        episode, outputs = task.step(episode, {**idle, "opponent_0": attack})
        gained += outputs.rewards["opponent_0"]
    lost = outputs.terminated
    assert lost.any()
    assert not gained[~lost].any()
    unserved = sum(outputs.infos[zone]["unserved_mwh_total"] for zone in task.zones)
    demand = Demand(task.system, task.series)
    asked = [demand.mwh(0, k * 60, k * 60 + 24).sum() for k in range(16)]
    np.testing.assert_allclose(gained, unserved / asked)
    # of a load that hardly changes, the part not served is about that of the time left
    np.testing.assert_allclose(gained, 1 - outputs.infos["zone_0"]["survival"], atol=0.12)


def test_starting_from_a_checkpoint_takes_its_networks(tmp_path):
    first = BatchTeam(replace(SMALL, algorithm="mappo"))
    first.iterate()
    first.save(tmp_path)
    second = BatchTeam(replace(SMALL, algorithm="mappo", seed=5, start_from=str(tmp_path)))
    for one, other in zip(arrays_of(first), arrays_of(second), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="does not fit"):
        BatchTeam(replace(SMALL, hidden=8, start_from=str(tmp_path)))


def test_a_curriculum_goes_on_when_the_team_survives(tmp_path):
    settings = replace(
        SMALL, curriculum="easy:none,default:day-1", curriculum_survival=0.0, curriculum_episodes=5, opponent="random",
        attacked_share=1.0, name=str(tmp_path / "run"),
    )  # fmt: skip
    team = BatchTeam(settings)
    rows = [team.iterate() for _ in range(4)]
    assert [row["level"] for row in rows] == [0, 1, 2, 2]
    assert rows[0]["attacks_total"] == 0 < rows[3]["attacks_total"]
    straight, resumed = BatchTeam(settings), None
    for _ in range(2):
        straight.iterate()
    straight.save(settings.folder / "checkpoint")
    resumed = BatchTeam(replace(settings, resume=True))
    assert [resumed.iterate() for _ in range(2)] == rows[2:]
    patient = BatchTeam(replace(settings, curriculum_survival=1.1))
    assert [patient.iterate()["level"] for _ in range(2)] == [0, 0]
    with pytest.raises(ValueError, match="difficulty:budget"):
        BatchTeam(replace(SMALL, curriculum="easy"))


def test_zones_learn_what_a_search_would_do():
    """The teacher's answers are played, then only learnt from, and become likelier; then learning by trial goes on."""
    team = BatchTeam(
        replace(SMALL, case="case14", imitate=3, idle_probability=0.05, act_above=0.9, batch=300, epochs=8)
    )
    answers, likelihood = team.teacher.answers, []

    def watched(task, state):
        found = answers(task, state)
        assert found.shape == (3, state.n_env)
        likelihood.append(found)
        return found

    team.teacher.answers = watched
    entropies = [team.iterate()["entropy"] for _ in range(3)]
    assert entropies[0] > entropies[1] > entropies[2]
    assert any(found.any() for found in likelihood)
    n_call = len(likelihood)
    assert np.isfinite(list(team.iterate().values())).all()
    assert len(likelihood) == n_call
    # what the search plans is what the numbers stand for
    state = team.batch.current
    planned = team.teacher.greedy.plan(team.batch.task, state)
    for z, zone in enumerate(team.batch.task.zones):
        for number, commands in zip(answers(team.batch.task, state)[z], planned[zone], strict=True):
            meant = team.batch.task.actions.commands(z, number)
            assert [a.tolist() for a in meant] == [a.tolist() for a in commands]


def test_a_cost_over_its_limit_gets_a_price_that_the_rewards_show():
    team = BatchTeam(replace(SMALL, cost="overload", cost_limit=0.01))
    plain = BatchTeam(SMALL)
    first, row = team.iterate(), plain.iterate()
    assert first["cost"] > 0.01
    assert first["multiplier"] > 0
    assert first["survival"] == row["survival"]  # nothing costs anything yet
    assert team.iterate()["cost"] > 0
    assert team.cost.price == team.multiplier.value
    assert "cost" in BatchTeam(replace(SMALL, cost="illegal")).iterate()


def test_an_opponent_that_learns_needs_every_step(capsys):
    with pytest.raises(ValueError, match="act-above 0"):
        replace(SMALL, opponent="learned")
    with pytest.raises(SystemExit):
        settings_from(["--opponent", "learned"], "experiments.train_batch")
    assert "act-above 0" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ a whole run
OPTIONS = (
    "--case", "case5", "--batch", "200", "--minibatch", "100", "--max-steps", "24", "--test-episodes", "4",
    "--validation-episodes", "4", "--scenarios", "8", "--envs-per-runner", "4", "--act-above", "0.5",
)  # fmt: skip


def program(folder, *options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "experiments.train_batch", *OPTIONS, *options]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_the_table_after_an_opponents_training_has_the_trained_attacker(tmp_path, monkeypatch):
    from experiments import report

    monkeypatch.chdir(tmp_path)
    settings = replace(VARIANTS["opponent alone"], name="o", defenders="reconnect", test_episodes=3)
    team = BatchTeam(settings)
    team.iterate()
    team.save(settings.folder / "checkpoint")
    teams, opponents = report.sides(settings)
    assert (teams[0], opponents[-1]) == ("frozen", "trained")
    played = report.play(settings, "frozen", "trained")
    assert played.survival.shape == (3,)
    assert played.attacks.sum() > 0
    assert report.sides(SMALL) == (report.TEAMS, report.OPPONENTS)


@pytest.mark.slow
def test_a_run_reports_stops_at_ctrl_c_and_goes_on(tmp_path):
    process = program(tmp_path, "--iterations", "100000")
    folder = tmp_path / "runs" / "case5-batch"
    for _ in range(600):
        if (folder / "checkpoint").exists() or process.poll() is not None:
            break
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=900)
    assert process.returncode == 0, out
    assert "training stopped" in out
    for name in ("settings.json", "learning.csv", "learning_curve.png", "results.csv", "results.json"):
        assert (folder / name).stat().st_size > 0
    episodes = json.loads((folder / "results.json").read_text())["episodes"]
    assert "trained | random" in episodes
    with (folder / "learning.csv").open() as file:
        n = len(list(csv.DictReader(file)))
    process = program(tmp_path, "--iterations", "2", "--resume")
    out, _ = process.communicate(timeout=900)
    assert process.returncode == 0, out
    with (folder / "learning.csv").open() as file:
        assert [int(row["iteration"]) for row in csv.DictReader(file)] == list(range(1, n + 3))
