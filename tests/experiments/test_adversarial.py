"""Adversarial training: pools, sampling, who meets whom, and a killed run that gives the same pool."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tqdm")

from experiments import adversarial
from experiments.adversarial import AdversarialSettings, phase_settings
from experiments.pool import ATTACKERS, DEFENDERS, Payoffs, Pool, mixture, weights
from experiments.train_batch import BatchTeam
from marlgrid.rllib.policies import load_policies

SMALL = (
    "--case", "case5", "--batch", "80", "--minibatch", "40", "--epochs", "2", "--max-steps", "24", "--scenarios", "4",
    "--validation-episodes", "4", "--envs-per-runner", "8", "--runners", "1", "--act-above", "0.5", "--hidden", "8",
    "--generations", "2", "--iterations", "2", "--attacker-iterations", "2", "--defender-iterations", "2",
    "--algorithm", "mappo", "--opponent-reward", "blackout", "--opponent", "random+weighted",
)  # fmt: skip


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# ------------------------------------------------------------------------------------------------ sampling
def test_prioritised_sampling_meets_most_who_wins_most():
    assert weights("uniform", [0.9, 0.1, 0.0]) == pytest.approx([1 / 3] * 3)
    assert weights("prioritised", [0.6, 0.3, 0.1]) == pytest.approx([0.6, 0.3, 0.1])
    assert weights("prioritised", [0.6, 0.3], power=2.0) == pytest.approx([0.8, 0.2])
    assert weights("prioritised", [1.0, 0.0]) == pytest.approx([1 / 1.05, 0.05 / 1.05])
    assert weights("prioritised", [0.0, 0.0]) == pytest.approx([0.5, 0.5])
    with pytest.raises(ValueError, match="choose from"):
        weights("fair", [1.0])
    assert mixture(["a"], [1.0]) == "a"
    assert mixture(["a", "b"], [0.25, 0.75]) == "0.250000*a+0.750000*b"


def test_each_phase_meets_whom_it_should(tmp_path, monkeypatch):
    """Attackers learn against the latest defenders, defenders against all attackers so far, each from its last self."""
    monkeypatch.chdir(tmp_path)
    settings = AdversarialSettings(
        case="case5", name="x", opponent="random+weighted", attacked_share=0.5, imitate=3, defender_imitate=2
    )
    pool = Pool(settings.folder / "pool")
    survival = {"random": 0.5, "weighted": 0.9, "001": 0.1, "002": 0.4}
    payoffs = Payoffs(tmp_path / "payoffs.csv", settings)
    monkeypatch.setattr(payoffs, "survival", lambda _, attacker: survival[Path(attacker).name])
    for side, number in ((DEFENDERS, 0), (ATTACKERS, 1), (DEFENDERS, 1), (ATTACKERS, 2)):
        pool.add(side, number, {"zone_0": {"x": np.zeros(1)}})
    first = phase_settings(settings, pool, payoffs, DEFENDERS, 0)
    assert (first.learner, first.opponent, first.start_from, first.iterations) == ("zones", "random+weighted", "", 60)
    attack = phase_settings(settings, pool, payoffs, ATTACKERS, 2)
    assert (attack.learner, attack.defenders) == ("opponent", "runs/x/pool/defenders/001")
    assert attack.start_from == "runs/x/pool/attackers/001"
    assert phase_settings(replace(settings, scratch=True), pool, payoffs, ATTACKERS, 2).start_from == ""
    defend = phase_settings(settings, pool, payoffs, DEFENDERS, 2)
    assert defend.start_from == "runs/x/pool/defenders/001"
    assert (first.imitate, attack.imitate, defend.imitate) == (3, 0, 2)
    folder = "runs/x/pool/attackers"
    assert defend.opponent == mixture(
        ["random", "weighted", f"{folder}/001", f"{folder}/002"], [5 / 21, 1 / 21, 9 / 21, 6 / 21]
    )
    assert len({s.seed for s in (first, attack, defend)}) == 3


def test_settings_that_cannot_be():
    for wrong in ({"sampling": "fair"}, {"against": "all"}, {"minutes": 1.0}, {"learner": "opponent"}):
        with pytest.raises(ValueError, match=r"choose from|not for this program"):
            AdversarialSettings(**wrong)


# ------------------------------------------------------------------------------------------------ whole runs
def test_a_killed_run_resumed_gives_the_same_pool(tmp_path, monkeypatch, capsys):
    """Killed in the middle of phases and stopped by Ctrl-C: bit for bit the files of a run without interruption."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("experiments.adversarial.CHECK_SECONDS", 0.0)
    assert adversarial.main([*SMALL, "--name", "straight"]) == 0
    straight = files_of(Path("runs/straight/pool"))
    assert len(straight) == 8  # two zones in three generations, one opponent in two
    iterate, n_call = BatchTeam.iterate, [0]

    def dying(team):
        n_call[0] += 1
        if n_call[0] in (2, 9):  # the second iteration of a phase, after the checkpoint of the first
            raise MemoryError
        if n_call[0] == 4:
            signal.raise_signal(signal.SIGINT)
        return iterate(team)

    monkeypatch.setattr(BatchTeam, "iterate", dying)
    again = ["--name", "killed", "--generations", "2", "--resume"]
    with pytest.raises(MemoryError):
        adversarial.main([*SMALL, "--name", "killed"])
    assert adversarial.main(again) == 0
    assert "stopped; --resume goes on" in capsys.readouterr().out
    assert not Path("runs/killed/pool/attackers/001").exists()
    with pytest.raises(MemoryError):
        adversarial.main(again)
    assert adversarial.main(again) == 0
    assert n_call[0] == 12
    killed = files_of(Path("runs/killed/pool"))
    assert killed == straight
    for name in ("payoffs.csv", "generations.csv"):
        lines = [Path(f"runs/{run}/{name}").read_text().replace("killed", "straight") for run in ("straight", "killed")]
        assert lines[0] == lines[1]
    assert set(load_policies("runs/killed/pool/attackers/002")) == {"opponent_0"}
    assert set(load_policies("runs/killed/pool/defenders/002")) == {"zone_0", "zone_1"}
    # more generations of a finished run go on from its pool
    assert adversarial.main(["--name", "killed", "--generations", "3", "--resume"]) == 0
    assert files_of(Path("runs/killed/pool")).items() >= straight.items()
    assert len(files_of(Path("runs/killed/pool"))) == 11
