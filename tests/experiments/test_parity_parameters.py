"""Every parameter of the rules in lock step with Grid2Op: the same change in both, the same consequences."""

from __future__ import annotations

import importlib.util
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("grid2op")

import pandas as pd

from experiments.parity_lock_step import LockStep
from marlgrid.task.allowance import Allowance, SimulationLimitError

SANDBOX, STORAGE = "l2rpn_case14_sandbox", "educ_case14_storage"
CHANGES = {
    "no overflow disconnection": (SANDBOX, "random", 0.6, {"no_overflow_disconnection": True}),
    "no patience": (SANDBOX, "topology", 0.8, {"nb_timestep_overflow_allowed": 0, "nb_timestep_reconnection": 4}),
    "much patience": (SANDBOX, "nothing", 0.6, {"nb_timestep_overflow_allowed": 6}),
    "soft below the limit": (SANDBOX, "random", 1.0, {"soft_overflow_threshold": 0.7, "hard_overflow_threshold": 1.1}),
    "cooldowns": (SANDBOX, "random", 1.0, {"nb_timestep_cooldown_line": 2, "nb_timestep_cooldown_sub": 4}),
    "quotas of none": (SANDBOX, "random", 1.0, {"max_sub_changed": 0, "max_line_status_changed": 0}),
    "full storages without losses": (
        STORAGE, "dispatch", 1.0, {"init_storage_capacity": 1.0, "activate_storage_loss": False},
    ),
    "limited curtailment and storage": (
        STORAGE, "dispatch", 1.0,
        {"init_storage_capacity": 0.0, "limit_infeasible_curtailment_storage_action": True},
    ),
    "no redispatching by the environment": (STORAGE, "dispatch", 1.0, {"env_does_redispatching": False}),
    "linear power flow": (STORAGE, "random", 1.0, {"env_dc": True}),
}  # fmt: skip


def lock_step(case, limits, parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LockStep(case, limits, parameters)


def run(pair: LockStep, policy: str, n_step: int, n_simulate: int = 0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tally = pair.run(policy, n_step, n_simulate, progress=False)
    assert tally.mismatches == []
    return tally


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_parameter_has_the_same_effect_in_both(change):
    case, policy, limits, parameters = CHANGES[change]
    tally = run(lock_step(case, limits, parameters), policy, 30, 1)
    if "no_overflow_disconnection" in parameters:
        assert tally.trips == 0
    elif limits < 1:
        assert tally.trips > 0


class CountingTimes(LockStep):
    """Compares the up and down times too, which no observation shows."""

    def differs(self, where, observation):
        wrong = super().differs(where, observation)
        theirs = (self.env._gen_uptime, self.env._gen_downtime)
        if not wrong and self.state.running[0]:
            for ours, counted in zip(self.state.commitment, theirs, strict=True):
                np.testing.assert_array_equal(ours[0], counted, where)
        return wrong


@pytest.fixture(scope="module")
def moody(tmp_path_factory) -> Path:
    """An environment whose generators have minimum times, and whose schedule stops two of them now and then."""
    shipped = Path(importlib.util.find_spec("grid2op").submodule_search_locations[0]) / "data" / "educ_case14_redisp"
    folder = tmp_path_factory.mktemp("grid") / "moody"
    first = "2019-01-12"

    def others(parent, names):
        return [name for name in names if Path(parent).name == "chronics" and name != first]

    shutil.copytree(shipped, folder, ignore=others)
    table = pd.read_csv(folder / "prods_charac.csv")
    table["min_up_time"], table["min_down_time"] = 4, 3
    table.loc[table["name"] == "gen_2_1", ["max_ramp_up", "max_ramp_down"]] = 120
    table.to_csv(folder / "prods_charac.csv", index=False)
    path = folder / "chronics" / first / "prod_p.csv.bz2"
    schedule = pd.read_csv(path, sep=";")
    rng = np.random.default_rng(0)
    for name in ("gen_2_1", "gen_7_4"):
        spells = np.repeat(np.arange(200) % 2 == 1, rng.integers(1, 8, 200))[: len(schedule)]
        schedule[name] = np.where(spells, 0.0, schedule[name].max())
    schedule.to_csv(path, sep=";", index=False)
    return folder


@pytest.mark.parametrize("ignore_times", [True, False])
@pytest.mark.parametrize("switch_off", [True, False])
def test_minimum_times_and_generators_at_rest(moody, ignore_times, switch_off):
    parameters = {
        "ignore_min_up_down_time": ignore_times,
        "allow_dispatch_gen_switch_off": switch_off,
        "nb_timestep_cooldown_line": 3,
        "nb_timestep_cooldown_sub": 3,
    }
    kind = LockStep if ignore_times else CountingTimes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = kind(str(moody), 1.5, parameters)
    tally = run(pair, "random", 60)
    assert (tally.reasons["GEN_SWITCHED_TOO_SOON"] > 5) != ignore_times
    assert switch_off or tally.reasons["GEN_SWITCHED_OFF"] > 0
    run(pair, "dispatch", 40)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["educ_case14_redisp", "l2rpn_wcci_2022_dev"])
@pytest.mark.parametrize("switch_off", [True, False])
def test_minimum_times_of_shipped_data(case, switch_off):
    parameters = {"ignore_min_up_down_time": False, "allow_dispatch_gen_switch_off": switch_off}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = CountingTimes(case, 1.0, parameters)
    for policy in ("dispatch", "random"):
        run(pair, policy, 150)


def test_what_is_foreseen_on_a_grid_of_its_own():
    """``grid_forecast.json``: Grid2Op simulates on it, and so does this; the grid that is played on would differ."""
    pair = lock_step("l2rpn_case14_sandbox_diff_grid", 1.0, None)
    assert run(pair, "random", 20, 3).simulated >= 10
    pair.foreseer = pair.stepper
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pair.run("nothing", 2, 1, progress=False).mismatches


def test_the_limits_of_simulate_count_as_in_grid2op():
    """Two calls per step and five per episode: which of three in each step are one too many."""
    from grid2op.Exceptions import SimulateUsedTooMuchThisEpisode, SimulateUsedTooMuchThisStep

    pair = lock_step(SANDBOX, 1.0, {"max_simulate_per_step": 2, "max_simulate_per_episode": 5})
    allowance, nothing = Allowance(pair.system.parameters), pair.env.action_space({})
    there, here = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        observation = pair.reset(0)
        for calls in (2, 2, 2):
            for _ in range(calls):
                too_many = (SimulateUsedTooMuchThisStep, SimulateUsedTooMuchThisEpisode)
                there.append(_raises(too_many, observation.simulate, nothing))
                here.append(_raises(SimulationLimitError, allowance.spend))
            observation = pair.env.step(nothing)[0]
            allowance.next_step()
        pair.env.reset()
        observation = pair.env.reset()
        fresh = Allowance(pair.system.parameters)
        for _ in range(3):
            there.append(_raises(too_many, observation.simulate, nothing))
            here.append(_raises(SimulationLimitError, fresh.spend))
    assert here == there == [False] * 5 + [True] + [False, False, True]


def _raises(error, call, *arguments) -> bool:
    try:
        call(*arguments)
    except error:
        return True
    return False
