"""Pictures and texts show what the state says."""

from __future__ import annotations

import numpy as np
import pytest

import marlgrid
from marlgrid.render import layout as layout_module
from marlgrid.render.ansi import render_ansi
from marlgrid.render.layout import HEIGHT, WIDTH, layout
from marlgrid.render.picture import render_rgb
from marlgrid.render.style import hex_colour, rgb, rho_colour, zone_colour
from marlgrid.render.summary import events, split_substations, zone_summaries

CASES = marlgrid.cases()


@pytest.fixture(scope="module", params=CASES)
def env(request):
    env = marlgrid.parallel_env(request.param, opponent="agent", render_mode="rgb_array")
    env.reset(seed=0)
    return env


@pytest.fixture
def case5():
    env = marlgrid.parallel_env("case5", opponent="agent", parameters={"no_overflow_disconnection": True})
    env.reset(seed=0)
    return env


def pictures(env, state):
    return render_rgb(env.task.system, state, env.task.series)


# ---------------------------------------------------------------------------------------------------- picture
def test_picture_of_every_case(env):
    picture = env.render()
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    assert np.array_equal(picture, env.render())


def test_everything_stands_on_the_map(env):
    plan = layout(env.task.system)
    assert (plan.sub > layout_module.MARGIN - 1).all()
    assert (plan.sub[:, 0] < WIDTH - layout_module.PANEL - layout_module.MARGIN + 1).all()
    assert (plan.sub[:, 1] < HEIGHT - layout_module.HEADER - layout_module.MARGIN + 1).all()
    distance = np.linalg.norm(plan.sub[:, None] - plan.sub[None], axis=2) + 1e9 * np.eye(len(plan.sub))
    assert distance.min() > plan.radius


def test_parallel_lines_are_told_apart():
    system = marlgrid.load_case("case118").system
    ends = np.sort(np.stack([system.grid.line_or_to_subid, system.grid.line_ex_to_subid], axis=1), axis=1)
    _, group, count = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    bend = layout(system).bend
    assert (count > 1).any()
    for pair in np.flatnonzero(count > 1):
        lines = np.flatnonzero(group.ravel() == pair)
        flip = np.where(system.grid.line_or_to_subid[lines] < system.grid.line_ex_to_subid[lines], 1, -1)
        assert len(np.unique(bend[lines] * flip)) == len(lines)
    assert (bend[count[group.ravel()] == 1] == 0).all()


def test_a_picture_changes_with_what_it_shows(case5):
    """Loading, attack, outage, split, trip, end: each alone changes pixels."""
    state, grid = case5.current, case5.task.system.grid

    def with_entry(array, index, value):
        array = array.copy()
        array[0, index] = value
        return array

    base = pictures(case5, state)
    topology = state.topology
    middle = grid.sub_start[1]
    changed = {
        "rho": state._replace(rho=with_entry(state.rho, 0, 1.2)),
        "attack": state._replace(attack=state.attack._replace(remaining=with_entry(state.attack.remaining, 1, 9))),
        "outage": state._replace(
            topology=topology._replace(
                topo_vect=with_entry(
                    topology.topo_vect, [grid.line_or_pos_topo_vect[2], grid.line_ex_pos_topo_vect[2]], -1
                )
            )
        ),
        "split": state._replace(
            topology=topology._replace(
                topo_vect=with_entry(topology.topo_vect, middle, 2), last_bus=with_entry(topology.last_bus, middle, 2)
            )
        ),
        "trip": state._replace(disc_lines=with_entry(state.disc_lines, 3, 0)),
        "end": state._replace(outcome=np.array([2], dtype=np.int8)),
        "charge": state._replace(
            dispatch=state.dispatch._replace(storage_charge=np.zeros_like(state.dispatch.storage_charge))
        ),
        "time": state._replace(t=state.t + 1),
    }
    for name, other in changed.items():
        picture = pictures(case5, other)
        assert not np.array_equal(picture, base), name
    attacked = pictures(case5, changed["attack"])
    violet = (np.abs(attacked.astype(int) - np.round(255 * rgb("#8E24AA")).astype(int)).sum(axis=2) < 6).sum()
    assert violet > 100


def test_any_row_of_a_batch_can_be_shown():
    envs = marlgrid.vector_env("case5", n_envs=2)
    envs.reset(seed=0)
    system = envs.task.system
    one, other = (render_rgb(system, envs.current, envs.task.series, row=row) for row in (0, 1))
    assert not np.array_equal(one, other)
    single = marlgrid.parallel_env(envs.task)
    single.reset(seed=1)
    assert np.array_equal(other, render_rgb(system, single.current, envs.task.series))


def test_no_pyplot_state(env):
    import matplotlib._pylab_helpers as helpers

    env.render()
    assert not helpers.Gcf.get_all_fig_managers()


# ---------------------------------------------------------------------------------------------------- text
def test_text_of_every_case(env):
    text = render_ansi(env.task.system, env.current, env.task.series)
    for zone in env.task.zones:
        assert zone in text
    assert f"step 0 of {env.current.t_end[0]}" in text
    assert "running" in text
    assert "\x1b" not in text
    assert "\x1b[38;2;" in render_ansi(env.task.system, env.current, env.task.series, colour=True)
    assert max(map(len, text.splitlines())) <= 100


def test_summaries_add_up(env):
    state = env.current
    zones = zone_summaries(env.task.system, state)
    assert sum(zone.load_mw for zone in zones) == pytest.approx(state.flow.load_p[0].sum())
    assert sum(zone.gen_mw for zone in zones) == pytest.approx(state.flow.gen_p[0].sum())
    assert max(zone.max_rho for zone in zones) == pytest.approx(state.rho[0].max())


def test_events_name_what_is_wrong(case5):
    env, grid = case5, case5.task.system.grid
    assert not any("attacked" in text for _, text in events(env.task.system, env.current))
    line = int(env.task.attack_actions.lines[0])
    env.step(dict.fromkeys(env.agents, 0) | {"opponent_0": 1})
    found = [text for _, text in events(env.task.system, env.current)]
    steps = int(env.current.attack.remaining[0, line])
    assert f"{grid.name_line[line]} attacked, {steps} more steps" in found
    over = np.flatnonzero(env.current.rho[0] > 1)
    assert sum(text.endswith("%") for text in found) == len(over)
    assert f"{grid.name_line[line]} attacked" in render_ansi(env.task.system, env.current, env.task.series)


def test_split_substations_are_found(case5):
    env, grid = case5, case5.task.system.grid
    assert not split_substations(env.task.system, env.current).any()
    topo = env.current.topology.topo_vect.copy()
    topo[0, grid.sub_start[2]] = 2
    state = env.current._replace(topology=env.current.topology._replace(topo_vect=topo))
    assert list(np.flatnonzero(split_substations(env.task.system, state))) == [2]
    assert f"{grid.name_sub[2]} split" in [text for _, text in events(env.task.system, state)]


# ---------------------------------------------------------------------------------------------------- colours
def test_colours():
    assert hex_colour(rgb("#3e7cb1")) == "#3e7cb1"
    assert len({zone_colour(zone) for zone in range(60)}) == 60
    red = rho_colour(np.array([0.2, 0.99, 1.0, 5.0]))
    assert red.shape == (4, 3)
    assert red[2, 0] > red[0, 0]
    assert (red[3] == rgb("#8E0B1D")).all()
