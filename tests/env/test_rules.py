"""``rules=`` at the front door."""

from __future__ import annotations

import numpy as np
import pytest

import marlgrid
from marlgrid import Reason

AREAS = [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10, 11, 12, 13]]


def no_switching(system, state, zone, commands):
    """No line is switched."""
    return not np.isin(commands.kind, (0, 1)).any()


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("default", Reason.TOO_MANY_LINES),
        ("always-legal", Reason.ACCEPTED),
        ({"base": "by-area", "areas": AREAS}, Reason.ACCEPTED),
        ({"base": "always-legal", "own": no_switching}, Reason.OWN_RULE),
    ],
)
def test_rules_by_name_and_settings(rules, expected):
    env = marlgrid.parallel_env("case14", zones=1, rules=rules)
    env.reset(seed=1)
    grid = env.task.system.grid
    in_first = [int(np.flatnonzero(np.isin(grid.line_or_to_subid, area))[0]) for area in AREAS]
    off = env.make_action({"set_line_status": [(line, -1) for line in in_first]})
    *_, infos = env.step({"zone_0": off})
    assert infos["zone_0"]["reason"] == expected


def test_masks_and_batches_know_rules_of_ones_own():
    envs = marlgrid.vector_env("case14", n_envs=2, zones=2, rules=no_switching)
    _, infos = envs.reset(seed=1)
    switching = [
        [bool(np.isin(c.kind, (0, 1)).any()) for c in (envs.task.actions.commands(z, a) for a in range(m.shape[1]))]
        for z, m in enumerate(infos[f"zone_{z}"]["action_mask"] for z in range(2))
    ]
    for zone, switches in enumerate(switching):
        mask = infos[f"zone_{zone}"]["action_mask"]
        assert any(switches)
        assert not mask[:, switches].any()
        assert mask.any(axis=1).all()


def test_a_folder_with_areas_is_played_by_area():
    env = marlgrid.parallel_env("l2rpn_idf_2023", zones=1)
    env.reset(seed=1)
    system = env.task.system
    area = system.rules.area_of_sub(system.grid)
    assert area.max() == 2
    lines = [int(np.flatnonzero(area[system.grid.line_or_to_subid] == a)[0]) for a in range(3)]
    *_, infos = env.step({"zone_0": env.make_action({"set_line_status": [(line, 1) for line in lines]})})
    assert infos["zone_0"]["reason"] == Reason.ACCEPTED
    two = np.flatnonzero(area[system.grid.line_or_to_subid] == 1)[-2:]
    *_, infos = env.step({"zone_0": env.make_action({"set_line_status": [(int(line), 1) for line in two]})})
    assert infos["zone_0"]["reason"] == Reason.TOO_MANY_LINES
