"""PettingZoo's own conformance tests, for every built-in case, with and without the opponent as an agent."""

from __future__ import annotations

import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import (
    api_test,
    max_cycles_test,
    parallel_api_test,
    parallel_seed_test,
    render_test,
    seed_test,
    state_test,
)

import marlgrid
from marlgrid import marlgrid_v0

CASES = marlgrid.cases()
CYCLES = 40


@pytest.fixture(autouse=True)
def _advice():
    """PettingZoo warns of what it only advises against: unequal spaces, observations that are dicts."""
    with warnings.catch_warnings():
        for advice in ("Agents have different", "Observation", "Action space for each agent probably"):
            warnings.filterwarnings("ignore", advice, UserWarning)
        yield


@pytest.mark.parametrize("actions", ["discrete", "multi_discrete", "box", "dict"])
@pytest.mark.parametrize("opponent", [None, "agent"])
@pytest.mark.parametrize("case", CASES)
def test_parallel_and_aec(case, opponent, actions):
    arguments = {"opponent": opponent, "actions": actions}
    parallel_api_test(marlgrid.parallel_env(case, **arguments), num_cycles=CYCLES)
    api_test(marlgrid_v0.env(case, **arguments), num_cycles=CYCLES)
    parallel_seed_test(partial(marlgrid.parallel_env, case, **arguments), num_cycles=CYCLES)


@pytest.mark.parametrize("actions", ["discrete", "multi_discrete"])
@pytest.mark.parametrize("mask", ["observation", "both", None])
def test_every_place_of_the_mask(mask, actions):
    arguments = {"opponent": "agent", "actions": actions, "mask": mask}
    parallel_api_test(marlgrid.parallel_env("case14", **arguments), num_cycles=CYCLES)
    api_test(marlgrid_v0.env("case14", **arguments), num_cycles=CYCLES)
    seed_test(partial(marlgrid_v0.env, "case14", **arguments), num_cycles=CYCLES)


@pytest.mark.parametrize("opponent", [None, "agent", "random", "weighted", "geometric"])
def test_state(opponent):
    make = partial(marlgrid.parallel_env, "case14", opponent=opponent)
    state_test(marlgrid_v0.env("case14", opponent=opponent), make(), num_cycles=CYCLES)


@pytest.mark.parametrize("case", CASES)
def test_max_cycles(case):
    """With actions that cannot lose the grid within four steps."""
    calm = {"case": case, "actions": {"kinds": ("redispatch",), "redispatch": (0.1,)}, "seed": 0}
    module = SimpleNamespace(
        parallel_env=partial(marlgrid_v0.parallel_env, **calm), env=partial(marlgrid_v0.env, **calm)
    )
    max_cycles_test(module)


@pytest.mark.parametrize("case", CASES)
def test_render(case, capsys):
    render_test(partial(marlgrid_v0.env, case))
    assert case in capsys.readouterr().out


@pytest.mark.parametrize("actions", ["discrete", "multi_discrete", "box", "dict"])
@pytest.mark.parametrize("mask", ["info", None])
def test_gymnasium(actions, mask):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*not within|.*normalize", UserWarning)
        check_env(marlgrid.gym_env("case14", actions=actions, mask=mask), skip_render_check=True)


def test_gymnasium_with_the_mask_in_the_observation():
    check_env(marlgrid.gym_env("case5", mask="observation"), skip_render_check=True)


def test_registered_with_gymnasium():
    import gymnasium

    env = gymnasium.make("marlgrid/Case5-v0", max_steps=3)
    observation, _ = env.reset(seed=1)
    assert observation in env.observation_space
    assert env.unwrapped.action_masks().dtype == bool
    assert not env.step(0)[3]


def test_registered_with_pettingzoo():
    import pettingzoo

    if not hasattr(pettingzoo, "register"):
        pytest.skip("this PettingZoo has no registry")
    env = pettingzoo.make("parallel", "marlgrid/Case14-v0", opponent="agent", max_cycles=5)
    env.reset(seed=0)
    assert env.agents == ["zone_0", "zone_1", "zone_2", "opponent_0"]
    assert env.max_cycles == 5
    aec = pettingzoo.make("aec", "marlgrid/Case14-v0")
    aec.reset(seed=0)
    assert aec.agents == ["zone_0", "zone_1", "zone_2"]


def test_the_package_can_be_called_like_pettingzoos_function():
    aec = marlgrid.env("case5")
    aec.reset(seed=0)
    assert np.isfinite(aec.last()[0]).all()
