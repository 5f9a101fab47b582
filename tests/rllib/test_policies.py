"""Policies outside RLlib give what the modules give, and read nothing but arrays."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from gymnasium import spaces

from marlgrid.rllib.modules import CentralCriticModule, MaskedAPPOModule, MaskedModule
from marlgrid.rllib.policies import MODULES, load_policies, policy_from_state


def module(action_space, n_observation=9, cls=MaskedModule, **config):
    mask = [
        spaces.Box(0, 1, (int(n),), np.int8) for n in getattr(action_space, "nvec", [getattr(action_space, "n", 0)])
    ]
    space = {
        "observation": spaces.Box(-9, 9, (n_observation,), np.float32),
        "action_mask": mask[0] if len(mask) == 1 else spaces.Tuple(mask),
        "state": spaces.Box(-9, 9, (5,), np.float32),
    }
    torch.manual_seed(3)
    made = cls(
        observation_space=spaces.Dict(space),
        action_space=action_space,
        model_config={"hiddens": (16, 12), "act_above": 0.9, **config},
    )
    with torch.no_grad():  # away from the nearly uniform start
        for parameter in made.actor.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return made


def batch(rng, n, n_observation, sizes):
    masks = [(rng.random((n, k)) < 0.5).astype(np.int8) for k in sizes]
    for mask in masks:
        mask[:, 0] = 1
    return rng.normal(size=(n, n_observation)).astype(np.float32), masks


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("space", [spaces.Discrete(7), spaces.MultiDiscrete([4, 3, 2])])
def test_a_policy_is_its_module(space, scaled):
    rng = np.random.default_rng(0)
    scale = (rng.normal(size=9), 0.1 + rng.random(9)) if scaled else None
    rl_module = module(space, scale=scale)
    policy = policy_from_state(rl_module.get_state())
    sizes = policy.components
    seen, masks = batch(rng, 300, 9, sizes)
    tensors = tuple(torch.from_numpy(mask) for mask in masks)
    obs = {"observation": torch.from_numpy(seen), "action_mask": tensors[0] if len(sizes) == 1 else tensors}
    logits = rl_module.forward_inference({"obs": obs})["action_dist_inputs"].numpy()
    legal = np.concatenate(masks, axis=1) > 0
    np.testing.assert_allclose(policy.logits(seen, legal)[legal], logits[legal], atol=2e-4)
    expected = np.stack([p.argmax(1) for p in np.split(logits, np.cumsum(sizes)[:-1], axis=1)], axis=1)
    chosen = policy.act(seen, masks[0] if len(sizes) == 1 else tuple(masks))
    np.testing.assert_array_equal(chosen.reshape(expected.shape), expected)
    assert policy.act_above == pytest.approx(0.9)
    one = policy.act(seen[0], masks[0][0] if len(sizes) == 1 else tuple(mask[0] for mask in masks))
    np.testing.assert_array_equal(one, chosen[0])


def test_illegal_actions_have_probability_zero():
    rl_module = module(spaces.Discrete(7))
    rng = np.random.default_rng(1)
    seen, (mask,) = batch(rng, 500, 9, (7,))
    obs = {"observation": torch.from_numpy(100 * seen), "action_mask": torch.from_numpy(mask)}
    logits = rl_module.forward_exploration({"obs": obs})["action_dist_inputs"]
    probability = torch.softmax(logits, dim=-1).numpy()
    assert (probability[mask == 0] == 0).all()
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-5)
    drawn = policy_from_state(rl_module.get_state()).act(seen, mask, np.random.default_rng(2))
    assert (mask[np.arange(len(mask)), drawn] == 1).all()


def test_draws_follow_the_probabilities():
    rl_module = module(spaces.Discrete(4))
    policy = policy_from_state(rl_module.get_state())
    seen = np.tile(np.linspace(-1, 1, 9, dtype=np.float32), (40_000, 1))
    mask = np.tile(np.array([1, 1, 0, 1], np.int8), (len(seen), 1))
    logits = policy.logits(seen[:1], mask[:1])[0]
    expected = np.exp(logits - logits.max())
    expected /= expected.sum()
    drawn = policy.act(seen, mask, np.random.default_rng(5))
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / len(drawn), expected, atol=0.012)


def test_the_untrained_zone_idles_as_often_as_asked():
    space = spaces.Dict(
        {"observation": spaces.Box(-9, 9, (9,), np.float32), "action_mask": spaces.Box(0, 1, (11,), np.int8)}
    )
    rl_module = MaskedModule(
        observation_space=space,
        action_space=spaces.Discrete(11),
        model_config={"hiddens": (8,), "idle_probability": 0.8},
    )
    obs = {"observation": torch.zeros(1, 9), "action_mask": torch.ones(1, 11)}
    logits = rl_module.forward_inference({"obs": obs})["action_dist_inputs"]
    assert torch.softmax(logits, -1)[0, 0].item() == pytest.approx(0.8, abs=1e-4)


def test_the_central_critic_reads_the_state_and_the_actor_does_not():
    rl_module = module(spaces.Discrete(3), cls=CentralCriticModule)
    obs = {"observation": torch.ones(4, 9), "action_mask": torch.ones(4, 3), "state": torch.zeros(4, 5)}
    other = {**obs, "state": torch.ones(4, 5)}
    assert not torch.equal(rl_module.compute_values({"obs": obs}), rl_module.compute_values({"obs": other}))
    first, second = (rl_module.forward_inference({"obs": o})["action_dist_inputs"] for o in (obs, other))
    assert torch.equal(first, second)


def test_appo_asks_a_copy_of_the_actor():
    rl_module = module(spaces.Discrete(3), cls=MaskedAPPOModule)
    rl_module.make_target_networks()
    obs = {"observation": torch.ones(2, 9), "action_mask": torch.tensor([[1, 1, 0], [1, 0, 1]])}
    target = rl_module.forward_target({"obs": obs})["target_network_action_dist_inputs"]
    own = rl_module.forward_inference({"obs": obs})["action_dist_inputs"]
    assert torch.equal(target, own)
    with torch.no_grad():
        rl_module.actor[0].weight += 1
    assert torch.equal(target, rl_module.forward_target({"obs": obs})["target_network_action_dist_inputs"])


def saved(folder, state, name="zone_0"):
    path = folder / MODULES / name
    path.mkdir(parents=True)
    with (path / "module_state.pkl").open("wb") as file:
        pickle.dump(state, file)
    return folder


def test_policies_need_neither_ray_nor_torch(tmp_path):
    saved(tmp_path, module(spaces.Discrete(7)).get_state())
    code = (
        "import sys, numpy as np\n"
        "from marlgrid.rllib import load_policies\n"
        f"policy = load_policies({str(tmp_path)!r})['zone_0']\n"
        "print(policy.act(np.zeros(9), np.ones(7)))\n"
        "assert not {'ray', 'torch'} & set(sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    expected = load_policies(tmp_path)["zone_0"].act(np.zeros(9), np.ones(7))
    assert int(run.stdout) == expected


class Bomb:
    def __reduce__(self):
        return (print, ("boom",))


def test_a_checkpoint_cannot_run_code(tmp_path, capsys):
    saved(tmp_path, {"actor.0.weight": Bomb()})
    with pytest.raises(ValueError, match="only arrays are expected"):
        load_policies(tmp_path)
    assert capsys.readouterr().out == ""


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="save_to_path"):
        load_policies(tmp_path)
    saved(tmp_path, {"encoder.weight": np.zeros(3)})
    with pytest.raises(ValueError, match=r"not a module of marlgrid\.rllib"):
        load_policies(tmp_path)
    policy = policy_from_state(module(spaces.Discrete(7)).get_state())
    with pytest.raises(ValueError, match="settings that the policy was trained with"):
        policy.act(np.zeros(4), np.ones(7))
    with pytest.raises(ValueError, match="mask has shape"):
        policy.act(np.zeros(9), np.ones(6))


def test_an_unknown_name_is_an_error():
    import marlgrid.rllib

    with pytest.raises(AttributeError, match="it offers"):
        _ = marlgrid.rllib.nothing
    assert "ppo_config" in dir(marlgrid.rllib)
