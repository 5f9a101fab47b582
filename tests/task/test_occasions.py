"""When a team that leaves calm steps out is asked."""

from __future__ import annotations

import numpy as np

import marlgrid
from marlgrid.task.occasions import line_waits, occasions


def test_a_line_waits_when_nothing_but_the_zones_keeps_it_out():
    """Attacked for 3 steps, then free to be put back; in service again, it waits no more."""
    attacks = {"name": "schedule", "attacks": [(2, "1_2_2", 3)]}
    env = marlgrid.parallel_env("case14", opponent=attacks, parameters={"no_overflow_disconnection": True})
    env.reset(seed=1)
    waits, idle = [], dict.fromkeys(env.agents, 0)
    for _ in range(6):
        waits.append(bool(line_waits(env.task.system, env.current)[0]))
        env.step(idle)
    assert waits == [False, False, False, False, False, True]
    assert env.occasion(99.0)
    back = env.make_action({"set_line_status": [("1_2_2", 1)]})
    env.step({**idle, "zone_0": back})
    assert env.current.topology.topo_vect.min() > 0
    assert not env.occasion(99.0)
    assert env.occasion(0.0)


def test_loaded_grids_are_occasions_too():
    task = marlgrid.make_task("case14")
    episode, _ = task.reset(np.arange(8), 0, np.arange(8) * 200)
    highest = episode.state.rho.max(axis=1)
    level = float(np.median(highest))
    np.testing.assert_array_equal(occasions(task.system, episode.state, level), highest >= level)
