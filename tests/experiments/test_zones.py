"""Studies of zones: what is compared, that it resumes, and the statistics of the table."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")

from experiments import zones  # noqa: E402
from experiments.settings import TrainSettings  # noqa: E402
from experiments.tasks import task_of  # noqa: E402
from experiments.zones import main  # noqa: E402
from experiments.zones_report import row_of  # noqa: E402
from experiments.zones_studies import STUDIES, Setting, is_reference  # noqa: E402

TINY = ["--case", "case5", "--zones", "2", "--quick"]


@pytest.mark.parametrize("name", list(STUDIES))
def test_what_is_compared(name):
    base = TrainSettings(case="case14", zones=3)
    settings = STUDIES[name].settings(base)
    assert len({setting.label for setting in settings}) == len(settings) > 2
    assert sum(is_reference(setting, base) for setting in settings) == 1
    for setting in settings:
        assert task_of(setting.train, "none", "train").system.n_zone >= 1


def test_a_study_of_impaired_teams(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--study", "delay", *TINY]) == 0
    folder = tmp_path / "runs" / "zones" / "case5-trained-quick"
    with (folder / "delay.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["setting"] for row in rows] == [*["0", "1", "2", "3", "6", "12", "do-nothing"] * 2]
    assert [row["attacker"] for row in rows] == ["none"] * 7 + ["weighted"] * 7
    assert all(0 <= float(row["low"]) <= float(row["survival"]) <= float(row["high"]) <= 1 for row in rows)
    assert (folder / "delay.png").stat().st_size > 5000
    assert "What if observations come late?" in capsys.readouterr().out
    assert len(list((folder / "teams").iterdir())) == 1, "one training serves all settings"

    # again: nothing is trained and nothing is played
    def refuse(*_):
        raise AssertionError("everything is there already")

    monkeypatch.setattr(zones, "train", refuse)
    monkeypatch.setattr(zones, "evaluate", refuse)
    before = (folder / "delay.csv").read_text()
    assert main(["--study", "delay", *TINY]) == 0
    assert (folder / "delay.csv").read_text() == before
    # other settings are another study
    with pytest.raises(AssertionError, match="already"):
        main(["--study", "delay", *TINY, "--seeds", "2"])
    kept = json.loads((folder / "delay" / "12-seed-0.json").read_text())
    assert len(kept["found"]["weighted"]["survival"]) == 8


def test_a_study_that_is_stopped_keeps_what_is_finished(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trained = []

    def stop_at_the_second(settings, checkpoint):
        if trained:
            raise KeyboardInterrupt
        trained.append(settings)
        original(settings, checkpoint)

    original = zones.train
    monkeypatch.setattr(zones, "train", stop_at_the_second)
    assert main(["--study", "tie-lines", *TINY, "--attackers", "none"]) == 130
    assert "the same command goes on" in capsys.readouterr().out
    monkeypatch.setattr(zones, "train", lambda settings, path: (trained.append(settings), original(settings, path)))
    assert main(["--study", "tie-lines", *TINY, "--attackers", "none"]) == 0
    assert [settings.tie_lines for settings in trained] == ["both", "origin", "none"]


def test_scripted_teams_and_noise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--study", "noise", *TINY, "--team", "do-nothing", "--attackers", "none"]) == 0
    with (tmp_path / "runs/zones/case5-do-nothing-quick/noise.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["survival"] for row in rows}) == 1, "who does nothing is not misled by sensors"
    assert not (tmp_path / "runs/zones/case5-do-nothing-quick/teams").exists()


def test_noise_reaches_the_observations():
    train = TrainSettings(case="case5", zones=2)
    exact, noisy = (
        zones.sensed(task_of(train, "none", "test"), Setting("", train, noise=noise)) for noise in (None, 0.1)
    )
    seen = [task.reset(3, scenario=0, t_start=0)[1].observations["zone_0"] for task in (exact, noisy)]
    assert not np.allclose(*seen)
    assert exact.series is noisy.series


def test_rows():
    def training(*survival):
        return {"none": {"survival": list(survival), "unserved_mwh": [2.0, 4.0], "illegal": [0.0, 1.0]}}

    row = row_of("late", "none", [training(0.2, 0.4), training(0.4, 0.6)], [training(0.5, 0.7)])
    assert row.survival == pytest.approx(0.4)
    assert (row.low, row.high) == pytest.approx((0.3, 0.5))
    assert (row.difference, row.difference_low, row.difference_high) == pytest.approx((-0.2, -0.2, -0.2))
    assert (row.unserved_mwh, row.illegal, row.by_seed) == (3.0, 0.5, "0.300 0.500")


def test_rewards_of_training():
    settings = [setting.train for setting in STUDIES["credit"].settings(TrainSettings(case="case5", zones=2))]
    gained = []
    for train in settings:
        task = task_of(train, "none", "train")
        episode, _ = task.reset(3, scenario=0, t_start=0)
        cut = task.make_action({"set_bus": {"loads_id": (0, -1)}})
        _, outputs = task.step(
            episode, {zone: [cut] if k == task.system.zones.load[0] else [0] for k, zone in enumerate(task.zones)}
        )
        gained.append(np.array([outputs.rewards[zone][0] for zone in task.zones]))
    team, difference, both = gained
    assert team[0] == team[1] < -1
    assert sorted(difference != 0) == [False, True], "one zone lost the grid, the other had no part in it"
    assert both == pytest.approx(team + difference)


def test_some_settings_alone():
    base = TrainSettings(case="case14", zones=3)
    found = zones.chosen(STUDIES["number"].settings(base), base, ["5"])
    assert [setting.label for setting in found] == ["3", "5"]
    with pytest.raises(SystemExit, match="no setting '7'"):
        zones.chosen(found, base, ["7"])


def test_wrong_arguments(capsys):
    with pytest.raises(SystemExit):
        main(["--zones", "0"])
    assert "at least 1" in capsys.readouterr().err
