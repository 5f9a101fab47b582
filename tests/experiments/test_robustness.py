"""The matrix: pairing, statistics on known values, resuming, files, report."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from agents import agent_from
from experiments import robustness, robustness_run
from experiments.evaluation import played
from experiments.replay_choice import blackouts
from experiments.replay_record import replay
from experiments.robustness import main, matrix, note
from experiments.robustness_html import write_report
from experiments.robustness_play import Cell, Contestant, Study, play
from experiments.robustness_table import BEST_RESPONSE, METRICS, exploitability, summary
from experiments.shares import wilson_interval
from experiments.strata import select

STUDY = Study("case5", episodes=6, steps=60)
OPTIONS = ["--case", "case5", "--episodes", "4", "--steps", "30", "--jobs", "1", "--replays", "2", "--frames", "12"]


def cell(defender, attacker, budget="4-hours"):
    return Cell(Contestant.parse(defender), Contestant.parse(attacker), budget)


# ------------------------------------------------------------------------------------------------ pairing
def attack_starts(study, chosen):
    """Episode -> step -> lines on which an attack starts, and the steps that the episode lasts."""
    task, starts = study.task(chosen), study.starts()
    found = [{} for _ in starts.seed]
    for moment in played(task, agent_from(chosen.defender.spec), starts):
        before, after = moment.before.state, moment.after.state
        begun = (after.attacked.line > np.maximum(before.attacked.line - 1, 0)) & before.running[:, None]
        for episode, line in zip(*np.nonzero(begun), strict=True):
            found[episode].setdefault(int(before.t[episode] - before.t_start[episode]), []).append(int(line))
    return found, after.t - after.t_start


@pytest.mark.parametrize("attacker", ["random", "weighted"])
def test_all_cells_play_the_same_episodes_under_the_same_attacks(attacker):
    """Attacks start in the same steps as long as both live, and the first random one hits the same line.

    Later ones may not: the line is drawn alike among those in service, and one team may have put a line back that the
    other has not; the weighted attacker looks at the loadings too.
    """
    passive, active = (cell(name, attacker) for name in ("do-nothing", "greedy"))
    frames = [play(STUDY, chosen) for chosen in (passive, active)]
    for name in ("episode", "scenario", "t_start", "seed", "steps"):
        assert (frames[0][name] == frames[1][name]).all()
    (first, lived), (second, lived_too) = attack_starts(STUDY, passive), attack_starts(STUDY, active)
    compared = 0
    for one, other, limit in zip(first, second, np.minimum(lived, lived_too), strict=True):
        steps = sorted(step for step in one if step < limit)
        assert steps == sorted(step for step in other if step < limit)
        if attacker == "random":
            assert [one[step] for step in steps[:1]] == [other[step] for step in steps[:1]]
        compared += len(steps)
    assert compared > 0
    assert (frames[0].attacks == [len(attacks) for attacks in first]).all()


def test_a_budget_sets_the_pace():
    """Nobody falls: all attacks that the budget pays for take place, and none where there is no budget."""
    study = Study("case5", episodes=2, steps=288, difficulty="easy")
    for budget, gap in (("day-1", 288), ("4-hours", 48)):
        starts, lived = attack_starts(study, cell("greedy", "random", budget))
        for attacks, steps in zip(starts, lived, strict=True):
            assert all(later - earlier >= gap for earlier, later in pairwise(sorted(attacks)))
            assert len(attacks) <= 1 + (steps - 1) // gap
    assert attack_starts(study, cell("do-nothing", "random", "none"))[0] == [{}, {}]


def test_who_is_who(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mappo" / "checkpoint").mkdir(parents=True)
    assert Contestant.parse("greedy") == Contestant("greedy", "greedy")
    assert Contestant.parse("runs/mappo/checkpoint").label == "mappo"
    assert Contestant.parse("strong:runs/mappo/checkpoint") == Contestant("strong", "runs/mappo/checkpoint")
    assert Contestant.parse("zone_0=greedy,zones=do-nothing").spec == "zone_0=greedy,zones=do-nothing"
    with pytest.raises(ValueError, match="names nobody"):
        Contestant.parse(":greedy")
    before = Contestant.parse("runs/mappo/checkpoint").fingerprint()
    (tmp_path / "runs" / "mappo" / "checkpoint" / "module_state.pkl").write_bytes(b"trained on")
    assert Contestant.parse("runs/mappo/checkpoint").fingerprint() != before
    with pytest.raises(ValueError, match=r"no settings\.json above"):
        STUDY.task(cell("runs/mappo/checkpoint", "none"))
    (tmp_path / "runs" / "mappo" / "settings.json").write_text(json.dumps({"case": "case14"}))
    with pytest.raises(ValueError, match="was trained on case14, but the study is on case5"):
        STUDY.task(cell("runs/mappo/checkpoint", "none"))


# ------------------------------------------------------------------------------------------------ statistics
def made_up(survival, defender, attacker="random", budget="day-1", stratum="calm"):
    """Rows of one cell of which only the survival says anything."""
    n = len(survival)
    frame = pd.DataFrame({name: np.zeros(n) for name in METRICS})
    return frame.assign(
        episode=range(n), budget=budget, attacker=attacker, defender=defender, stratum=stratum, survival=survival,
        completed=np.asarray(survival) == 1, recovered=np.nan,
    )  # fmt: skip


def test_the_summary_of_known_values():
    rng = np.random.default_rng(0)
    base = rng.uniform(0, 0.8, size=40)
    better = np.where(np.arange(40) < 10, 1.0, base + 0.1)
    greedy = np.ones(40)
    frames = [made_up(base, "do-nothing"), made_up(better, "mine"), made_up(greedy, "greedy")]
    episodes = pd.concat(frames, ignore_index=True)
    episodes.loc[episodes.episode >= 30, "stratum"] = "hard"
    table = summary(episodes).set_index(["defender", "stratum", "metric"])
    mine = table.loc[("mine", "all", "survival")]
    assert mine["mean"] == pytest.approx(better.mean())
    half = 1.96 * better.std() / np.sqrt(40)
    assert [mine.low, mine.high] == pytest.approx([better.mean() - half, better.mean() + half], abs=0.01)
    assert mine.vs_nothing == pytest.approx((better - base).mean())
    half = 1.96 * (better - base).std() / np.sqrt(40)
    assert mine.vs_nothing_low == pytest.approx((better - base).mean() - half, abs=0.02)
    hard = table.loc[("mine", "hard", "survival")]
    assert [hard.vs_nothing, hard.vs_nothing_low, hard.vs_nothing_high] == pytest.approx([0.1, 0.1, 0.1]), "by pairs"
    assert hard.n == 10
    completed = table.loc[("mine", "all", "completed")]
    assert [completed["mean"], completed.low, completed.high] == pytest.approx([0.25, *wilson_interval(10, 40)])
    assert np.isnan(table.loc[("do-nothing", "all", "survival")].vs_nothing), "nobody is held against itself"
    assert table.loc[("mine", "all", "recovered")].n == 0


def test_exploitability_of_known_values():
    random, worst, trained = np.full(20, 0.9), np.full(20, 0.5), np.linspace(0.2, 0.4, 20)
    matrix = [made_up(random, "mine"), made_up(worst, "mine", "worst-case"), made_up(np.ones(20), "mine", "none")]
    gap = exploitability(pd.concat(matrix, ignore_index=True)).set_index("stratum").loc["all"]
    assert [gap.response, gap.kind] == ["worst-case", "in matrix"]
    assert [gap.exploitability, gap.low, gap.high] == pytest.approx([0.4, 0.4, 0.4])
    response = made_up(trained, "mine", BEST_RESPONSE)
    gap = exploitability(pd.concat([*matrix, response], ignore_index=True)).set_index("stratum").loc["all"]
    assert gap.kind == "trained"
    assert gap.exploitability == pytest.approx(0.6)
    half = 1.96 * trained.std() / np.sqrt(20)
    assert [gap.low, gap.high] == pytest.approx([0.6 - half, 0.6 + half], abs=0.005)


def test_the_matrix():
    defenders = [Contestant.parse(name) for name in ("do-nothing", "greedy")]
    attackers = [Contestant.parse(name) for name in ("none", "random")]
    response = {"greedy": Contestant(BEST_RESPONSE, "worst-case")}
    cells = matrix(defenders, attackers, ["day-1", "day-2"], response)
    assert len(cells) == len(set(cells)) == 2 + 2 * 2 + 2, "peace once, the attacker twice, the response twice"
    with pytest.raises(ValueError, match="not all different"):
        matrix(defenders, [*attackers, *attackers], ["day-1"], {})


# ------------------------------------------------------------------------------------------------ the program
@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small matrix, played in one go."""
    folder = tmp_path_factory.mktemp("matrix")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*OPTIONS, "--attackers", "none", "random", "--name", "whole"]) == 0
    return folder / "runs" / "whole"


def test_files_hold_what_was_played(finished):
    episodes = pd.read_parquet(finished / "episodes.parquet")
    assert len(episodes) == 4 * 3 * 2
    assert set(episodes.stratum) <= {"calm", "hard"}
    played_again = play(Study("case5", episodes=4, steps=30), cell("reconnect", "random", "day-1"))
    stored = episodes[(episodes.defender == "reconnect") & (episodes.attacker == "random")].drop(columns="stratum")
    pd.testing.assert_frame_equal(stored.reset_index(drop=True), played_again)
    for name in ("heat_map.png", "heat_map_strata.png", "survival.png"):
        assert (finished / name).read_bytes().startswith(b"\x89PNG")


def test_a_run_that_was_interrupted_goes_on(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = [*OPTIONS, "--attackers", "none", "random", "--name", "whole"]
    count = []

    def until_the_third(study, chosen):
        count.append(chosen)
        if len(count) == 3:
            raise KeyboardInterrupt
        return play(study, chosen)

    monkeypatch.setattr(robustness_run, "play", until_the_third)
    assert main(options) == robustness.INTERRUPTED
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told == "stopped: 2 cells are saved in runs/whole; the same command goes on from there"
    assert main(options) == 0
    assert len(count) == 3 + 4, "only what was missing is played"
    for name in ("summary.csv", "exploitability.csv"):
        assert (tmp_path / "runs" / "whole" / name).read_text() == (finished / name).read_text()
    with pytest.raises(SystemExit):
        main([*options, "--seed", "1"])
    assert "holds another study: seed 0 (asked for 1)" in capsys.readouterr().err


def test_processes_play_the_same(finished, tmp_path):
    study = Study("case5", episodes=4, steps=30)
    cells = [cell(name, "random", "day-1") for name in ("do-nothing", "reconnect")]
    episodes = robustness_run.results(study, cells, tmp_path, jobs=2)
    whole = pd.read_parquet(finished / "episodes.parquet").drop(columns="stratum")
    same = whole[(whole.attacker == "random") & (whole.defender != "greedy")].reset_index(drop=True)
    pd.testing.assert_frame_equal(episodes, same)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--best-response", "nobody=random"], "give DEFENDER=ATTACKER"),
        (["--defenders", "greedy", "greedy"], "not all different"),
        (["--defenders", "gready"], "there is no agent 'gready': choose from"),
        (["--attackers", "rondom"], "'rondom' is no attacker: give one of"),
        (["--budgets", "often"], "invalid choice"),
    ],
)
def test_wrong_options(options, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main([*OPTIONS, *options])
    assert message in capsys.readouterr().err


def test_episodes_that_share_scenarios_are_told(monkeypatch):
    assert note(STUDY) == "6 test episodes of 60 steps, default difficulty"
    few = replace(STUDY, seed=3)
    starts = replace(few.starts(), scenario=np.array([7, 7, 7, 8, 8, 8]))
    monkeypatch.setattr(Study, "starts", lambda study: starts)
    assert note(few).endswith("from 2 scenarios: not independent, so the intervals are too narrow")


# ------------------------------------------------------------------------------------------------ the report
def test_the_report_asks_the_network_for_nothing_and_shows_every_step(finished):
    text = (finished / "report.html").read_text()
    words = re.sub(r'src="data:image/png;base64,[^"]*"', 'src="data:"', text)
    assert not re.search(r"https?:|//[a-z]|<link|@import|url\(", words), "nothing from outside"
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', text))
    assert "__" not in re.sub(r"<script.*", "", text, flags=re.S), "no placeholder is left"
    data = json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)[1])
    assert len(data["replays"]) == 2
    for shown in data["replays"]:
        steps = [frame["step"] for frame in shown["frames"]]
        last = steps[-1]
        assert sorted(set(steps)) == list(range(max(last - 12, 0), last + 1))
        assert shown["frames"][-1]["lost"]
        grid = data["grids"][shown["grid"]]
        for frame in shown["frames"]:
            assert len(frame["rho"]) == len(frame["status"]) == len(grid["lines"])
        for name in "lhpat":
            assert all(f'id="{name}{k}"' in grid["svg"] for k in range(len(grid["lines"])))


def test_a_replay_is_the_episode_and_shows_the_waves_of_its_cascade():
    chosen = cell("reconnect", "none", "none")
    recorded = play(STUDY, chosen)
    number = int(recorded[~recorded.completed].survived_steps.idxmax())
    shown = replay(STUDY, chosen, number, last=10)
    assert shown.outcome == recorded.outcome[number]
    assert shown.survived_steps == recorded.survived_steps[number]
    waves = [frame for frame in shown.frames if frame.title.startswith("wave")]
    assert len(waves) > 0
    for wave in waves:
        newest = max(trip.wave for trip in wave.trips)
        assert wave.title == f"wave {newest} of the cascade"
        for trip in wave.trips:
            if trip.wave == newest:
                assert wave.rho[trip.line] >= 100, "an overload is why a line trips"
                assert wave.status[trip.line] == "i", "still in service when its wave begins"
            else:
                assert wave.status[trip.line] == "o", "opened by the wave before"
    tripped = {trip.line for trip in shown.frames[-1].trips}
    assert all(shown.frames[-1].status[line] == "o" for line in tripped)


def test_a_replay_names_attacks_and_actions():
    chosen = cell("greedy", "random")
    shown = replay(STUDY, chosen, 0, last=60)
    names = shown.task.system.grid.name_line
    attacked = [frame for frame in shown.frames if "a" in frame.status]
    assert len(attacked) > 0
    for frame in attacked:
        lines = [names[k] for k, letter in enumerate(frame.status) if letter == "a"]
        assert all(any(line in words for words in frame.attacks) for line in lines)
    assert attacked[0].attacks[0].startswith("attacks ")
    moments = list(played(STUDY.task(chosen), agent_from("greedy"), select(STUDY.starts(), np.arange(6) == 0)))
    acted = [sum(len(answers[0].kind) > 0 for answers in moment.choices.values()) for moment in moments]
    ends = [frame for frame in shown.frames if not frame.title.startswith("wave")][1:]
    assert [len(frame.actions) for frame in ends] == acted, "every action in words, and none in excess"
    assert sum(acted) > 0


def test_blackouts_that_only_an_attack_explains_come_first():
    lost, won = np.full(5, 0.5), np.ones(5)
    peace = made_up(np.array([1, 1, 0.4, 0.4, 0.4]), "mine", "none", "none").assign(survived_steps=10)
    frames = [
        peace,
        made_up(lost, "mine").assign(survived_steps=[3, 7, 20, 20, 20]),
        made_up(lost, "mine", "worst-case").assign(survived_steps=5),
        made_up(won, "other").assign(survived_steps=30),
    ]
    episodes = pd.concat(frames, ignore_index=True)
    chosen = blackouts(episodes, 5)
    assert chosen == [
        (("day-1", "worst-case", "mine"), 0),
        (("day-1", "random", "mine"), 1),
        (("none", "none", "mine"), 2),
    ]
    assert blackouts(episodes, 1) == chosen[:1]
    assert blackouts(episodes[episodes.completed], 3) == []


def test_a_report_without_blackouts(finished, tmp_path):
    episodes = pd.read_parquet(finished / "episodes.parquet")
    axes = (["day-1"], ["none", "random"], ["do-nothing", "reconnect", "greedy"])
    curves = finished / "survival.png"
    gaps = exploitability(episodes)
    write_report(tmp_path / "report.html", "title", "subtitle", "command", summary(episodes), gaps, axes, curves, [])
    assert "None is shown: no episode was lost" in (tmp_path / "report.html").read_text()
