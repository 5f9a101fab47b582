"""What sensors get wrong: Grid2Op's noise, in the full observation and in the agents' vectors."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

import marlgrid
from marlgrid.task.attributes import ATTRIBUTES
from marlgrid.task.features import VectorObservation
from marlgrid.task.noise import SensorNoise, noise_from
from marlgrid.task.observation import Observation
from tests.task.tasks import case_task

FACTORS = ("load_p", "load_q", "gen_p", "gen_q", "a_or", "a_ex", "rho")
ADDED = ("p_or", "p_ex", "q_or", "q_ex", "storage_power")


def errors(name: str, noisy: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """The errors in the form in which they are normal, where something is measured."""
    if name in ADDED:
        return noisy - exact
    on = np.abs(exact) > 1e-3
    return np.log(noisy[on] / exact[on])


def test_the_noise_is_grid2ops():
    """Both draw many times around one state: what is touched, how, and how much are the same."""
    grid2op = pytest.importorskip("grid2op")
    from grid2op.Observation import CompleteObservation, NoisyObservation
    from lightsim2grid import LightSimBackend

    seen = {}
    for kind in (CompleteObservation, NoisyObservation):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env = grid2op.make("educ_case14_storage", test=True, backend=LightSimBackend(), observation_class=kind)
        env.seed(0)
        env.set_id(0)
        env.reset()
        seen[kind] = [env.observation_space(env) for _ in range(40)]
    case = marlgrid.load_case("educ_case14_storage", zones=1)
    task = marlgrid.make_task(case)
    state = task.reset(0, scenario=0)[0].state
    noise = noise_from("grid2op", case.system)
    (exact, *_), ours = seen[CompleteObservation], Observation(task, state)
    for name in (*FACTORS, *ADDED):
        theirs = np.concatenate([errors(name, getattr(o, name), getattr(exact, name)) for o in seen[NoisyObservation]])
        drawn = (Observation(task, state._replace(seed=np.array([s])), noise=noise) for s in range(200))
        mine = np.concatenate([errors(name, getattr(o, name), getattr(ours, name)) for o in drawn])
        sigma = 0.1 if name in ADDED else 0.01
        assert mine.std() == pytest.approx(sigma, rel=0.1), name
        assert theirs.std() == pytest.approx(sigma, rel=0.15), name
        assert abs(mine.mean()) < 5 * sigma / np.sqrt(len(mine)), name
    untouched = [name for name in exact.attr_list_vect if name not in FACTORS + ADDED]
    noisy = Observation(task, state, noise=noise)
    for name in untouched:
        assert all(np.array_equal(getattr(o, name), getattr(exact, name)) for o in seen[NoisyObservation]), name
        if name in ATTRIBUTES:
            assert np.array_equal(getattr(noisy, name), getattr(ours, name)), name
    assert noisy.rho / ours.rho == pytest.approx(noisy.a_or / ours.a_or)
    assert np.array_equal(noisy.prod_p, noisy.gen_p)
    assert not np.array_equal(noisy.a_ex / ours.a_ex, noisy.a_or / ours.a_or)


def test_everybody_sees_the_same_errors():
    """The vectors of the agents hold what the noisy observation shows."""
    case = marlgrid.load_case("case14", zones=3)
    shown = VectorObservation(case.system, case.series, "global", normalise=False, noise="grid2op")
    task = replace(marlgrid.make_task(case), observation=shown)
    state = task.reset(5)[0].state
    noisy = Observation(task, state, noise=noise_from("grid2op", case.system))
    names = shown.feature_names("zone_1")
    vector = shown.observe(state)["zone_1"][0]
    for name in ("gen_p", "load_q", "p_or", "q_ex", "rho", "storage_power"):
        columns = [i for i, label in enumerate(names) if label.split(" ")[0] == name]
        assert vector[columns] == pytest.approx(getattr(noisy, name), rel=1e-5), name
    normalised = VectorObservation(case.system, case.series, "global", noise="grid2op")
    plain = VectorObservation(case.system, case.series, "global")
    ratio = normalised.observe(state)["zone_0"] / np.where(
        plain.observe(state)["zone_0"] == 0, 1, plain.observe(state)["zone_0"]
    )
    rho = [i for i, label in enumerate(plain.feature_names("zone_0")) if label.startswith("rho ")]
    assert ratio[0, rho] == pytest.approx(noisy.rho / noisy.exact.rho, rel=1e-5)


def test_noise_changes_nothing_but_what_is_seen():
    plain = marlgrid.parallel_env("case14", opponent="random", max_steps=20)
    noisy = marlgrid.parallel_env("case14", opponent="random", max_steps=20, observation={"noise": "grid2op"})
    first, _ = plain.reset(seed=2)
    shown, _ = noisy.reset(seed=2)
    assert not np.array_equal(first["zone_0"], shown["zone_0"])
    for _ in range(3):
        nothing = dict.fromkeys(plain.agents, 0)
        ours, theirs = plain.step(nothing), noisy.step(nothing)
        assert ours[1] == theirs[1]
        assert np.array_equal(plain.current.flow.p_or, noisy.current.flow.p_or)


def test_a_simulated_observation_is_noisy_too_and_tells_nothing_of_the_errors_to_come():
    env = marlgrid.parallel_env("case14")
    env.reset(seed=1)
    seen = env.observe_grid(noise=SensorNoise(sigma_a=0.2))
    exact = env.observe_grid()
    foreseen, told = seen.simulate()
    reference, true = exact.simulate()
    assert np.array_equal(foreseen.exact.rho, reference.rho)
    assert told.reward.tolist() == true.reward.tolist()
    predicted = seen.get_simulator().predict().current_obs
    assert predicted.exact.rho == pytest.approx(exact.rho, rel=1e-6)
    assert not np.isclose(predicted.rho, exact.rho).all()
    env.step(dict.fromkeys(env.agents, 0))
    later = env.observe_grid(noise=SensorNoise(sigma_a=0.2))
    factor = later.rho / later.exact.rho
    assert not np.isclose(foreseen.rho / reference.rho, factor).any()
    assert np.array_equal(env.observe_grid(noise=SensorNoise(sigma_a=0.2)).rho, later.rho), "asked twice, seen twice"
    assert seen.from_vect(seen.to_vect()).rho == pytest.approx(seen.rho, rel=1e-6)


def test_after_a_game_over_there_is_nothing_to_measure():
    task = case_task("case14")
    state = task.reset(0)[0].state
    over, _ = Observation(task, state, noise=noise_from(0.1, task.system)).simulate({"set_bus": {"loads_id": (0, -1)}})
    assert over.over
    assert not over.p_or.any()


def test_levels_by_attribute_are_in_normalised_units():
    task = case_task("case14")
    state = task.reset(0)[0].state
    noise = noise_from({"gen_p": 0.5, "rho": 0.1}, task.system)
    noisy = Observation(task, state, noise=noise)
    touched = {n for n in ATTRIBUTES if not np.array_equal(getattr(noisy, n), getattr(noisy.exact, n))}
    assert touched == {"gen_p", "prod_p", "rho"}
    spread = np.concatenate(
        [
            (Observation(task, state._replace(seed=np.array([s])), noise=noise).gen_p - noisy.exact.gen_p)
            / task.system.grid.gen_pmax
            for s in range(100)
        ]
    )
    assert spread.std() == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("wrong", ["loud", -0.1, {"topo_vect": 0.1}, {"sigma_a": -1.0}, {"sigma_a": 0.1, "rho": 0.1}])
def test_wrong_noise(wrong):
    with pytest.raises(ValueError, match="noise"):
        noise_from(wrong, case_task("case14").system)
