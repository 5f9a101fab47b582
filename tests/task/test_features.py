"""Feature vectors: scaled as promised, inside their space, and blind to what an agent cannot see."""

from __future__ import annotations

import numpy as np
import pytest

from marlgrid.env.registry import make_task
from marlgrid.simulation.state import Outcome
from marlgrid.task.features import DEFAULT_ATTRIBUTES, LIMIT, VectorObservation
from marlgrid.task.observation import Observation
from marlgrid.task.sensors import READINGS
from tests.simulation.small import StillSeries, small_system
from tests.task.tasks import case_task, loaded, masked_draw, rest, small_task


def view(scope="local", **options):
    task = small_task()
    return VectorObservation(task.system, task.series, scope, **options), task.reset(3)[0].state, task.system


def scrambled(state, system, zone: int, rng):
    """The state with everything outside a zone (and not on its tie lines) changed."""
    grid, zones = system.grid, system.zones
    outside = {
        "gen": zones.gen != zone,
        "load": zones.load != zone,
        "storage": zones.storage != zone,
        "line": ~zones.line_in_zone[zone],
        "or": zones.line_or != zone,
        "ex": zones.line_ex != zone,
        "sub": zones.labels != zone,
    }

    def other(array, where):
        changed = array.copy()
        changed[:, where] = (array + rng.integers(1, 9, array.shape).astype(array.dtype))[:, where]
        return changed

    def shaken(record, families):
        return record._replace(**{name: other(getattr(record, name), outside[f]) for name, f in families.items()})

    ends = {f"{q}_{end}": end for q in ("p", "q", "v", "a", "theta") for end in ("or", "ex")}
    unit = {name: name.split("_")[0] for name in state.flow._fields if name.split("_")[0] in ("gen", "load", "storage")}
    # the status of a line in view stands at its origin's place: a line that is in view keeps both places' signs
    places = zones.place != zone
    topo_vect = state.topology.topo_vect.copy()
    topo_vect[:, places] = np.where(topo_vect[:, places] == 1, 2, 1)
    hidden = np.flatnonzero(outside["line"])
    topo_vect[:, grid.line_or_pos_topo_vect[hidden]] = -1
    topo_vect[:, grid.line_ex_pos_topo_vect[hidden]] = -1
    lines = dict.fromkeys(("time_before_cooldown_line", "timestep_overflow", "timestep_protection_engaged"), "line")
    return state._replace(
        flow=shaken(state.flow, ends | unit),
        rho=other(state.rho, outside["line"]),
        topology=state.topology._replace(topo_vect=topo_vect),
        counters=shaken(state.counters, lines | {"time_before_cooldown_sub": "sub"}),
        dispatch=shaken(
            state.dispatch,
            dict.fromkeys(("target", "actual", "p_before_curtail", "curtailment_limit"), "gen")
            | dict.fromkeys(("storage_charge", "storage_power", "storage_power_target"), "storage"),
        ),
        injections=shaken(
            state.injections, dict.fromkeys(("time_next_maintenance", "duration_next_maintenance"), "line")
        ),
        attack=state.attack._replace(
            remaining=other(state.attack.remaining, outside["line"]),
            budget=state.attack.budget + 3,
            cooldown=state.attack.cooldown + 2,
        ),
        attacked=shaken(state.attacked, {"sub": "sub"}),
    )


@pytest.mark.parametrize("normalise", [True, False])
def test_nothing_leaks_into_a_local_view(normalise):
    task = case_task("case14")
    every = [name for name in READINGS if name not in ("attack_budget", "attack_cooldown")] + ["line_status"]
    local = VectorObservation(task.system, task.series, "local", attributes=every, normalise=normalise)
    everything = VectorObservation(task.system, task.series, "global", attributes=every, normalise=normalise)
    rng = np.random.default_rng(0)
    episode, _ = task.reset(11)
    for _ in range(5):
        for zone, agent in enumerate(task.zones):
            changed = scrambled(episode.state, task.system, zone, rng)
            assert np.array_equal(local.observe(episode.state)[agent], local.observe(changed)[agent])
            assert not np.array_equal(everything.observe(episode.state)[agent], everything.observe(changed)[agent])
        episode, _ = task.step(episode, rest(task) | {"opponent_0": [int(rng.integers(5))]})
        assert episode.state.running[0]


def test_a_local_view_reacts_to_everything_inside():
    task = case_task("case14")
    zone = 1
    state = task.reset(11)[0].state
    everything_but = scrambled(state, task.system, zone, np.random.default_rng(0))
    names = task.observation.feature_names("zone_0")
    moved = task.observation.observe(state)["zone_0"] != task.observation.observe(everything_but)["zone_0"]
    inside = {name.split(" ")[0] for name, m in zip(names, moved[0], strict=True) if m}
    assert {"gen_p", "load_p", "p_or", "p_ex", "rho", "topo_vect", "time_before_cooldown_sub"} <= inside


def test_tie_lines_are_marked_and_show_the_own_end():
    observation, _, _ = view()
    names = observation.feature_names("zone_1")
    assert "rho line_0 (tie)" in names
    assert "p_ex line_0 (tie)" in names
    assert "p_or line_0 (tie)" not in names
    assert "p_or line_2" in names
    assert "rho line_2" not in observation.feature_names("zone_0")


def test_more_hops_see_more():
    task = case_task("case14")
    sizes = []
    for scope, hops in (("local", 5), ("neighbourhood", 0), ("neighbourhood", 1), ("neighbourhood", 20), ("global", 0)):
        observation = VectorObservation(task.system, task.series, scope, hops=hops)
        sizes.append(observation.space("zone_1").shape[0])
    local, none, one, many, everything = sizes
    assert local == none < one < many == everything


def test_raw_features_are_the_attributes_of_the_observation():
    task = case_task("case14")
    observation = VectorObservation(task.system, task.series, "global", normalise=False)
    rng = np.random.default_rng(5)
    episode, outputs = task.reset(5)
    for _ in range(4):
        full, shown = Observation(task, episode.state), observation.observe(episode.state)["zone_0"][0]
        for name, value in zip(observation.feature_names("zone_0"), shown, strict=True):
            attribute, _, element = name.partition(" ")
            if attribute.startswith("time_of") or attribute in ("time_to_horizon", "topo_vect"):
                continue
            expected = float(getattr(full, attribute)[index_of(task.system.grid, element)])
            assert value == pytest.approx(expected, rel=1e-5)
        episode, outputs = task.step(episode, masked_draw(rng, outputs.masks, 1))
        if not episode.state.running[0]:
            break
    over = episode.state._replace(outcome=np.array([Outcome.DIVERGED], dtype=np.int8))
    full, shown = Observation(task, over), observation.observe(over)["zone_0"][0]
    for name, value in zip(observation.feature_names("zone_0"), shown, strict=True):
        attribute, _, element = name.partition(" ")
        if attribute in ("curtailment_limit", "rho", "line_status", "time_next_maintenance", "gen_p", "gen_margin_up"):
            assert value == getattr(full, attribute)[index_of(task.system.grid, element)]


def test_attention_can_be_seen():
    attributes = [
        "attention_budget", "time_since_last_alarm", "active_alert", "alert_duration", "time_since_last_alert",
        "time_since_last_attack", "attack_under_alert",
    ]  # fmt: skip
    line = loaded("case5").system.grid.name_line[0]
    warn = {"alarm_areas": {"a": [line]}, "alert_lines": [line], "initial_budget": 2.5}
    raw, scaled = (
        make_task(
            "case5", zones=2, attention=warn, opponent="agent",
            actions={"kinds": ("alarm", "alert")},
            observation={"attributes": attributes, "normalise": normalise},
        )
        for normalise in (False, True)
    )  # fmt: skip
    owner = "zone_0" if raw.system.zones.line_in_zone[0, 0] else "zone_1"
    assert raw.observation.feature_names(owner)[:3] == [
        "attention_budget",
        "time_since_last_alarm",
        f"active_alert {line}" + " (tie)" * bool(raw.system.zones.is_tie[0]),
    ]
    episode, _ = raw.reset(3)
    for alarm in (0, 1, 0, 2, 2, 0):
        full, shown = Observation(raw, episode.state), raw.observation.observe(episode.state)[owner][0]
        assert shown == pytest.approx([np.asarray(getattr(full, name), dtype=float)[0] for name in attributes])
        near = scaled.observation.observe(episode.state)[owner][0]
        ago = shown[[1, 4, 5]]
        assert near[[1, 4, 5]] == pytest.approx(np.where(ago < 0, 0.0, 12.0 / (12.0 + ago)))
        assert near[0] == pytest.approx(shown[0] / raw.system.attention.max_budget)
        episode, _ = raw.step(episode, rest(raw) | {owner: [alarm], "opponent_0": [int(alarm == 2)]})
        assert episode.state.running[0]
    assert not case_task("case14").system.dim_alerts  # where there is nothing to warn of, there is nothing to see
    without = VectorObservation(case_task("case14").system, case_task("case14").series, attributes=["rho", *attributes])
    assert without.space("zone_0") == VectorObservation(
        case_task("case14").system, case_task("case14").series, attributes=["rho"]
    ).space("zone_0")


def index_of(grid, element: str) -> int:
    for names in (grid.name_line, grid.name_gen, grid.name_load, grid.name_storage, grid.name_sub):
        if element.removesuffix(" (tie)") in names:
            return names.index(element.removesuffix(" (tie)"))
    raise AssertionError(element)


def test_normalised_values():
    observation, state, system = view("global")
    flow = state.flow._replace(gen_p=np.array([[50.0, 30.0, 10.0]]), load_p=np.array([[25.0, 30.0]]))
    injections = state.injections._replace(time_next_maintenance=np.array([[-1, 0, 12, 36]], dtype=np.int32))
    topology = state.topology.topo_vect.copy()
    topology[0, system.grid.load_pos_topo_vect[0]] = 2
    topology[0, system.grid.line_or_pos_topo_vect[1]] = -1
    state = state._replace(
        flow=flow,
        injections=injections,
        rho=np.array([[0.5, 1.5, 99.0, 0.0]]),
        topology=state.topology._replace(topo_vect=topology),
    )
    named = dict(zip(observation.feature_names("zone_0"), observation.observe(state)["zone_0"][0], strict=True))
    assert [named[f"gen_p gen_{g}"] for g in range(3)] == pytest.approx([0.5, 0.5, 0.25])
    assert [named[f"load_p load_{i}"] for i in range(2)] == pytest.approx([0.5, 1.0])
    assert named["gen_margin_up gen_0"] == pytest.approx(1.0)
    lines = ["line_0 (tie)", "line_1 (tie)", "line_2", "line_3 (tie)"]
    assert [named[f"rho {l}"] for l in lines] == pytest.approx([0.5, 1.5, LIMIT, 0.0])
    assert [named[f"time_next_maintenance {l}"] for l in lines] == pytest.approx([0.0, 1.0, 0.5, 0.25])
    assert [named[f"line_status {l}"] for l in lines] == [1, 0, 1, 1]
    assert (named["topo_vect load_0"], named["topo_vect load_1"], named["topo_vect line_1 (or)"]) == (1, 0, -1)
    assert named["time_to_horizon"] == 1.0
    assert named["time_of_week cos"] == pytest.approx(1.0)  # the series starts on a Monday at midnight


def test_what_the_opponent_sees():
    observation, state, system = view()
    names = observation.feature_names("opponent_0")
    named = dict(zip(names, observation.observe(state)["opponent_0"][0], strict=True))
    assert [named[f"attackable {l}"] for l in ("line_0 (tie)", "line_1 (tie)", "line_2", "line_3 (tie)")] == [
        1,
        1,
        1,
        0,
    ]
    assert named["attack_budget"] == pytest.approx(8.0 / 4)
    assert sum(name.startswith("rho") for name in names) == system.grid.n_line
    assert not any(
        name.startswith("attack_budget") for a in ("zone_0", "zone_1") for name in observation.feature_names(a)
    )


def test_padding_gives_equal_spaces_and_zeros():
    plain, state, _ = view()
    padded, _, _ = view(pad=True)
    sizes = [plain.space(f"zone_{z}").shape[0] for z in range(2)]
    assert padded.space("zone_0").shape == padded.space("zone_1").shape == (max(sizes),)
    short = int(np.argmin(sizes))
    shown = padded.observe(state)[f"zone_{short}"]
    assert np.array_equal(shown[:, : sizes[short]], plain.observe(state)[f"zone_{short}"])
    assert not shown[:, sizes[short] :].any()
    assert padded.feature_names(f"zone_{short}")[-1] == "padding"


def test_values_stay_inside_the_space_until_after_a_blackout():
    task = case_task("case14", observation=None)
    rng = np.random.default_rng(2)
    for seed in range(5):
        episode, outputs = task.reset(seed)
        for _ in range(30):
            for agent in task.agents:
                shown = outputs.observations[agent]
                assert shown.dtype == np.float32
                assert task.observation_space(agent).contains(shown[0]), agent
            assert task.state_space.contains(task.central_state(episode.state)[0])
            episode, outputs = task.step(episode, masked_draw(rng, outputs.masks, 1))


def test_after_a_game_over_only_time_remains():
    observation, state, _ = view("global")
    over = state._replace(outcome=np.array([Outcome.DIVERGED], dtype=np.int8))
    names, shown = observation.feature_names("zone_0"), observation.observe(over)["zone_0"][0]
    for name, value in zip(names, shown, strict=True):
        expected = -1 if name.startswith("topo_vect") else 1 if name.startswith("curtailment_limit") else 0
        if not name.startswith(("time_of", "time_to")):
            assert value == expected, name
    names = observation.feature_names("opponent_0")
    before, after = (observation.observe(s)["opponent_0"][0] for s in (state, over))
    kept = {name.split(" ")[0] for name, b, a in zip(names, before, after, strict=True) if b == a != 0}
    assert kept == {"time_of_day", "time_of_week", "time_to_horizon", "attackable"}


def test_noise_is_drawn_by_seed_and_step_and_only_on_measurements():
    plain, state, _ = view("global")
    noisy, _, _ = view("global", noise=0.01)
    first, again = (noisy.observe(state)["zone_0"] for _ in range(2))
    assert np.array_equal(first, again)
    later = state._replace(t=state.t + 1)
    difference = first - plain.observe(state)["zone_0"]
    names = plain.feature_names("zone_0")
    touched = {name.split(" ")[0] for name, d in zip(names, difference[0], strict=True) if d != 0}
    assert touched == {"gen_p", "load_p", "load_q", "storage_power", "p_or", "q_or", "p_ex", "q_ex", "rho"}
    assert 0.003 < difference[difference != 0].std() < 0.03
    assert not np.array_equal(noisy.observe(later)["zone_0"] - plain.observe(later)["zone_0"], difference)
    only, _, _ = view("global", noise={"rho": 0.1})
    difference = only.observe(state)["zone_0"] - plain.observe(state)["zone_0"]
    assert {name.split(" ")[0] for name, d in zip(names, difference[0], strict=True) if d != 0} == {"rho"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "regional"},
        {"hops": -1},
        {"attributes": ["rhos"]},
        {"attributes": []},
        {"attributes": "rho"},
        {"attributes": ["attack_budget"]},
        {"noise": -0.1},
        {"noise": {"topo_vect": 0.1}},
    ],
)
def test_wrong_settings(wrong):
    system = small_system()
    with pytest.raises(ValueError, match=next(iter(wrong)).removesuffix("s")):
        VectorObservation(system, StillSeries(system), **wrong)


def test_every_default_attribute_is_there():
    observation, _, _ = view("global")
    shown = {name.split(" ")[0] for name in observation.feature_names()}
    assert set(DEFAULT_ATTRIBUTES) <= shown


def test_the_opponent_sees_where_it_is_an_agent():
    with_agent, without = (make_task("case14", opponent=who) for who in ("agent", "random"))
    state = without.reset(0)[0].state
    assert set(without.observation.observe(state)) == set(without.zones)
    assert set(with_agent.observation.observe(state)) == {*without.zones, "opponent_0"}
    np.testing.assert_array_equal(without.central_state(state), with_agent.central_state(state))
