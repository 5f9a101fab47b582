"""Watching an episode: what is shown, what is written, and what is said when there is nothing to show."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from agents import DoNothing, Reconnect
from experiments import watch
from experiments.evaluation import Starts, played
from experiments.settings import TrainSettings
from experiments.tasks import task_of
from marlgrid.env.registry import make_task
from marlgrid.rllib.policies import save_policies


def test_an_agent_by_name_is_shown_and_written(tmp_path, capsys):
    path = tmp_path / "deep" / "out.gif"
    options = ["zone-greedy", "--case", "case5", "--opponent", "random", "--episode", "2", "--max-steps", "4",
               "--every", "3", "--width", "300", "--output", str(path)]  # fmt: skip
    assert watch.main(options) == 0
    told = capsys.readouterr().out
    assert "case5" in told
    assert "zone_1" in told
    assert "step 0 of 4" in told
    assert "survived all 4 steps" in told or "blackout after" in told
    with Image.open(path) as image:
        assert image.is_animated
        assert image.width == 300
        assert image.n_frames == told.count("attacks: ")


def test_a_checkpoint_plays_the_task_of_its_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = TrainSettings(case="case5", observation="local")
    folder = settings.folder / "checkpoint"
    task = task_of(settings, "none", "test")
    states = {}
    for zone in task.zones:
        n, m = task.observation_space(zone).shape[0], int(task.action_space(zone).n)
        states[zone] = {
            "actor.0.weight": np.zeros((m, n), np.float32), "actor.0.bias": np.arange(m, dtype=np.float32),
            "observation_mean": np.zeros(n, np.float32), "observation_std": np.ones(n, np.float32),
            "action_components": np.array([m]), "act_above": np.float32(0.0),
        }  # fmt: skip
    save_policies(folder, states)
    settings.save(settings.folder / "settings.json")
    assert watch.main([str(folder), "--opponent", "none", "--max-steps", "2", "--width", "200", "--every", "2"]) == 0
    told = capsys.readouterr().out
    assert "runs/case5/watch-none-0.gif: 2 frames" in told
    assert (settings.folder / "watch-none-0.gif").is_file()
    with pytest.raises(SystemExit, match="was trained on case5, not on case14"):
        watch.main([str(folder), "--case", "case14"])


def test_without_a_checkpoint_it_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="no checkpoint in runs/case14/checkpoint/: train one with `make run`"):
        watch.main([])
    with pytest.raises(SystemExit, match="no checkpoint in runs/case5/checkpoint/"):
        watch.main(["--case", "case5"])
    with pytest.raises(SystemExit, match="there is no agent 'clever'"):
        watch.main(["clever"])


def test_attacks_trips_and_the_end_are_always_shown():
    task = make_task("case14", opponent="weighted", split="test")
    starts = Starts.of_split(task, "test", 50, 288)
    one = slice(1, 2)
    starts = Starts(starts.seed[one], starts.scenario[one], starts.t_start[one], 288)
    moments = list(played(task, DoNothing(), starts))
    assert moments[-1].after.state.lost[0]
    frames = watch.chosen(task, moments, every=1000)
    shown = [int(frame.state.t[0]) for frame in frames]
    states = [moment.after.state for moment in moments]
    starts_of_attacks = [int(s.t[0]) for s, b in zip(states, [m.before.state for m in moments], strict=True)
                         if (s.attack.starts > b.attack.starts).any()]  # fmt: skip
    tripped = [int(s.t[0]) for s in states if (s.disc_lines >= 0).any()]
    last = [int(s.t[0]) for s in states[-watch.LAST :]]
    assert tripped
    assert shown == sorted({int(starts.t_start[0]), *starts_of_attacks, *tripped, *last})
    assert watch.ending(states[-1]).startswith(f"blackout after {len(moments)} steps")


def test_what_zones_asked_for_is_told_in_words():
    task = make_task("case5", parameters={"no_overflow_disconnection": True})
    name = task.system.grid.name_line[1]
    zone = task.zones[int(np.flatnonzero(task.system.zones.may_switch[:, 1])[0])]
    out = task.make_action({"set_line_status": [(name, -1)]})

    class Cutter(DoNothing):
        def act(self, task, episode, outputs, memory):
            return super().act(task, episode, outputs, memory)[0] | {zone: [out]}, memory

    starts = Starts(np.array([1]), np.array([0]), np.array([50]), 1)
    (moment,) = played(task, Cutter(), starts)
    assert watch.deeds(task, moment) == (f"{zone}: disconnect line {name}",)
    (moment,) = played(task, Reconnect(), starts)
    assert watch.deeds(task, moment) == ()
