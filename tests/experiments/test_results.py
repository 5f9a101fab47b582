"""The commands behind the results, and what is made of the matrix."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import results
from experiments.results import PLANS, Step, expectations, quick, recovered, resumable, steps, tables
from experiments.robustness_table import BEST_RESPONSE, METRICS


def test_teams_learn_for_the_same_number_of_iterations():
    for plan in (*PLANS.values(), *map(quick, PLANS.values())):
        *training, matrix = steps("case5", plan, "x")
        for step in training:
            told = dict(zip(step.arguments[:-1:2], step.arguments[1::2], strict=False))
            total = int(told["--iterations"]) + int(told["--generations"]) * int(told["--defender-iterations"])
            assert total == plan.iterations
            imitated = int(told["--imitate"]) + int(told["--generations"]) * int(told["--defender-imitate"])
            assert imitated == plan.imitate
            assert 0 <= int(told["--imitate"]) < int(told["--iterations"])
            assert told["--opponent"] == results.SCRIPTED
        assert matrix.module == "experiments.robustness"
        assert "learned:runs/x/MAPPO/pool/attackers/001" in matrix.arguments
        last = plan.generations
        assert f"adversarial:runs/x/adversarial/pool/defenders/{last:03d}" in matrix.arguments
        assert f"adversarial=runs/x/adversarial/pool/attackers/{last + 1:03d}" in matrix.arguments


def test_what_was_begun_is_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training, matrix = steps("case5", quick(PLANS["trial"]), "x")[0], steps("case5", quick(PLANS["trial"]), "x")[-1]
    assert "--resume" not in resumable(training)
    (tmp_path / "runs/x/IPPO/pool").mkdir(parents=True)
    assert resumable(training)[-1] == "--resume"
    assert "--resume" not in resumable(matrix)


def test_it_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    """The second of three commands fails once; then what is done is not done again."""
    monkeypatch.chdir(tmp_path)
    log, flag = tmp_path / "log", tmp_path / "flag"
    (tmp_path / "play.py").write_text(
        "import sys, pathlib\n"
        f"log, flag = pathlib.Path({str(log)!r}), pathlib.Path({str(flag)!r})\n"
        "name = sys.argv[sys.argv.index('--name') + 1]\n"
        "log.write_text((log.read_text() if log.exists() else '') + name + ' ')\n"
        "if name == 'b' and not flag.exists():\n    flag.touch()\n    sys.exit(130)\n"
        "pathlib.Path(name).touch()\n"
    )
    planned = [Step("play", ["--name", name], Path(name)) for name in "abc"]
    monkeypatch.setattr(results, "steps", lambda *_: planned)
    monkeypatch.setattr(results.pd, "read_parquet", lambda _: matrix_of({}))
    (tmp_path / "runs" / "results-case14").mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert results.main([]) == 130
    assert "goes on from there" in capsys.readouterr().err
    assert results.main([]) == 0
    assert log.read_text().split() == ["a", "b", "b", "c"]
    assert (tmp_path / "runs/results-case14/results.md").read_text().count("| MAPPO |") == 3
    assert sys.path


SURVIVAL = {
    ("none", "do-nothing"): 0.4, ("none", "MAPPO"): 0.9, ("none", "adversarial"): 0.89,
    ("random", "do-nothing"): 0.2, ("random", "MAPPO"): 0.6, ("random", "adversarial"): 0.6,
    ("learned", "do-nothing"): 0.1, ("learned", "MAPPO"): 0.2, ("learned", "adversarial"): 0.5,
    (BEST_RESPONSE, "MAPPO"): 0.2, (BEST_RESPONSE, "adversarial"): 0.3,
}  # fmt: skip


def matrix_of(changes):
    """Twenty episodes of each cell, all of the cell's survival."""
    rows = [
        dict.fromkeys(METRICS, 0.0)
        | {"budget": "none" if attacker == "none" else "day-1", "attacker": attacker, "defender": defender}
        | {"episode": episode, "survival": survival, "completed": 0, "stratum": "hard" if episode % 2 else "calm"}
        for (attacker, defender), survival in (SURVIVAL | changes).items()
        for episode in range(20)
    ]
    return pd.DataFrame(rows)


def test_expectations_are_judged():
    found = expectations(matrix_of({}))
    assert [holds for *_, holds in found] == ["yes", "yes", "no", "yes", "yes"]
    assert "+50.0 points" in found[0][1]
    assert "25%" in found[2][1]  # 0.1 of 0.4
    changes = {("none", "adversarial"): 0.85, (BEST_RESPONSE, "adversarial"): 0.45, ("none", "MAPPO"): 0.79}
    assert [holds for *_, holds in expectations(matrix_of(changes))] == ["no", "yes", "yes", "yes", "yes"]


def test_tables_have_every_cell_and_dashes():
    survival, calm, hard, verdicts = tables(matrix_of({}))
    assert "| MAPPO | 90% (90%-90%) | 60% (60%-60%) | 20% (20%-20%) | 20% (20%-20%) |" in survival
    assert "| do-nothing | 40% | 20% | 10% | - |" in calm
    assert hard.startswith("Days that are hard")
    assert verdicts.count("\n") == 6


def test_the_share_that_is_won_back():
    hurt, back = np.full(50, 0.4), np.full(50, 0.1)
    assert recovered(hurt, back) == pytest.approx((0.25, 0.25, 0.25))
    rng = np.random.default_rng(0)
    share, low, high = recovered(rng.normal(0.4, 0.1, 400), rng.normal(0.2, 0.1, 400))
    assert low < 0.5 < high
    assert share == pytest.approx(0.5, abs=0.05)
