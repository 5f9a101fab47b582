"""Attacks written down: schedules, files, what Grid2Op's runner recorded."""

from __future__ import annotations

import numpy as np
import pytest

from marlgrid.simulation.action import do_nothing
from marlgrid.simulation.rules import enforce
from marlgrid.task.opponents import PlannedAttack, ReplayOpponent, ScheduleOpponent, opponent_from
from marlgrid.task.opponents.tape import from_grid2op, load, save, tape
from tests.simulation.small import start
from tests.task.attacked import played, system_with

SYSTEM = system_with(cooldown=0)
ATTACKS = tape([(3, "line_2", 4), (10, "line_0", 1), PlannedAttack(12, "line_1", 2, scenario=0)])


def starts(durations) -> list[tuple[int, int, int, int]]:
    """(step, environment, line, duration) of every attack."""
    return [(*map(int, at), int(durations[tuple(at)])) for at in np.argwhere(durations)]


def test_a_schedule_is_kept():
    durations, _ = played(SYSTEM, ScheduleOpponent(ATTACKS), 2, 20)
    assert starts(durations) == [
        (3, 0, 2, 4), (3, 1, 2, 4), (10, 0, 0, 1), (10, 1, 0, 1), (12, 0, 1, 2), (12, 1, 1, 2)
    ]  # fmt: skip


def test_attacks_of_another_scenario_are_left_out():
    elsewhere = {"step": 1, "element": "line_0", "duration": 2, "scenario": 7}
    durations, _ = played(SYSTEM, ScheduleOpponent([elsewhere]), 1, 5)
    assert not durations.any()


def test_by_name():
    opponent = opponent_from({"name": "schedule", "attacks": [[3, "line_2", 4]]})
    assert opponent == ScheduleOpponent((PlannedAttack(3, "line_2", 4),))


def test_what_is_allowed_of_a_step_is_asked_for():
    fine = [(2, "line_0", 3), (2, "line_1", 3)]
    durations, _ = played(SYSTEM, ScheduleOpponent([*fine, (2, "line_3", 3), (2, "line_2", 5)]), 1, 5)
    assert starts(durations) == [(2, 0, 0, 3), (2, 0, 1, 3)]
    poor = system_with(initial_budget=4.0, budget_per_step=0.0)
    durations, _ = played(poor, ScheduleOpponent(fine), 1, 5)
    assert starts(durations) == [(2, 0, 0, 3)], "the budget is for one of them"


def test_what_is_not_allowed_is_refused_and_reported():
    state, opponent = start(SYSTEM), ScheduleOpponent([(0, "line_3", 3)])
    attack, _ = opponent.attack(SYSTEM, state, opponent.reset(SYSTEM, state))
    assert attack.duration.tolist() == [[0, 0, 0, 3]]
    assert enforce(SYSTEM, state, do_nothing(1, 2), attack).attack_refused.tolist() == [True]


@pytest.mark.parametrize("name", ["attacks.json", "attacks.npz"])
@pytest.mark.parametrize("attacks", [ATTACKS, ()])
def test_files_give_back_what_was_written(tmp_path, name, attacks):
    save(attacks, tmp_path / name)
    assert load(tmp_path / name) == attacks
    assert ReplayOpponent(tmp_path / name).attacks == attacks


def test_what_is_no_tape(tmp_path):
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(ValueError, match=r"broken\.json is no tape"):
        load(tmp_path / "broken.json")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing.npz")
    with pytest.raises(ValueError, match=r"json or \.npz"):
        save(ATTACKS, tmp_path / "attacks.csv")
    for entry in [(1, "line_0"), (-1, "line_0", 2), (1, "line_0", 0), (1.5, "line_0", 2), {"when": 3}, "attack"]:
        with pytest.raises(ValueError, match="is no attack"):
            tape([entry])
    with pytest.raises(ValueError, match=r"unknown lines \['line_8'\]"):
        played(SYSTEM, ScheduleOpponent([(1, "line_8", 2)]), 1, 1)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """An episode that Grid2Op's runner saved, and the attacks that it reported."""
    grid2op = pytest.importorskip("grid2op")
    lightsim2grid = pytest.importorskip("lightsim2grid")
    from grid2op.Runner import Runner

    folder = tmp_path_factory.mktemp("runner")
    env = grid2op.make(
        "rte_case14_opponent",
        test=True,
        backend=lightsim2grid.LightSimBackend(),
        opponent_init_budget=100.0,
        opponent_attack_duration=7,
        opponent_attack_cooldown=12,
    )
    params = env.get_params_for_runner()
    Runner(**params).run(nb_episode=1, max_iter=40, path_save=str(folder), env_seeds=[1])
    env.close()
    return next(folder.glob("*/opponent_attack.npz")).parent


@pytest.mark.filterwarnings("ignore")
def test_attacks_recorded_by_grid2op_are_read(recorded):
    attacks = from_grid2op(recorded)
    status = np.nan_to_num(np.load(recorded / "opponent_attack.npz")["data"])
    assert len(attacks) >= 1
    assert attacks[0].duration <= 7
    assert sum(attack.duration for attack in attacks) == (status < 0).sum()
    assert ReplayOpponent(recorded).attacks == attacks
