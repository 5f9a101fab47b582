"""Whether PPO on the batch learns as RLlib's does: ``python -m experiments.learning_curves``.

Both train the same task with the same settings and seeds, one run after the other, taking turns. Survival in training
(as each program logs it) against the team's decisions goes to ``runs/curves/curves.csv``, ``.png`` and the terminal;
runs that are already there are not made again.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.settings import TrainSettings

FOLDER = Path("curves")
"""Under runs/."""
PROGRAMS = {"RLlib": ("experiments.train", "RLlibTeam"), "batch": ("experiments.train_batch", "BatchTeam")}
"""Name -> module and class of the learner; they are imported where they run."""
COLOURS = {"RLlib": "#D6604D", "batch": "#2166AC"}
N_POINT = 9


def settings_of(program: str, seed: int, case: str, iterations: int) -> TrainSettings:
    """Small batches, quick learning and no attacks, so that a short run shows the rise."""
    return TrainSettings(
        case=case,
        name=str(FOLDER / f"{case}-{program}-{seed}"),
        iterations=iterations,
        seed=seed,
        opponent="none",
        learning_rate=3e-3,
        batch=1000,
        minibatch=125,
        scenarios=50,
        envs_per_runner=64,
        runners=1,
        validation_episodes=8,
    )


def play(program: str, settings: TrainSettings) -> None:
    """Trains without the comparison at the end; in a process of its own."""
    from experiments.learning import train

    module, learner = PROGRAMS[program]
    settings.folder.mkdir(parents=True, exist_ok=True)
    train(settings, getattr(importlib.import_module(module), learner))


def curve(settings: TrainSettings) -> np.ndarray:
    """(n_iteration, 2) decisions and survival, as far as the run went."""
    path = settings.folder / "learning.csv"
    if not path.exists():
        return np.zeros((0, 2))
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["survival"]]
    return np.array([[float(row["decisions"]), float(row["survival"])] for row in rows]).reshape(-1, 2)


def table(curves: dict[str, list[np.ndarray]]) -> list[dict[str, float]]:
    """Mean and standard error over the seeds at common numbers of decisions."""
    ends = [(own[0, 0], own[-1, 0]) for several in curves.values() for own in several]
    rows = []
    for decisions in np.linspace(max(end[0] for end in ends), min(end[1] for end in ends), N_POINT):
        row = {"decisions": float(decisions)}
        for program, several in curves.items():
            survival = np.array([np.interp(decisions, *own.T) for own in several])
            row[program] = float(survival.mean())
            row[f"{program} error"] = float(survival.std(ddof=1) / np.sqrt(len(survival))) if len(survival) > 1 else 0.0
        rows.append(row)
    return rows


def draw(curves: dict[str, list[np.ndarray]], path: Path) -> None:
    """All runs, thin, and the mean over the seeds."""
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    points = table(curves)
    for program, several in curves.items():
        for own in several:
            axes.plot(own[:, 0] / 1000, own[:, 1], color=COLOURS[program], linewidth=0.7, alpha=0.45)
        mean = [row[program] for row in points]
        label = f"{program}: mean of {len(several)} seeds"
        axes.plot([row["decisions"] / 1000 for row in points], mean, color=COLOURS[program], linewidth=2.2, label=label)
    axes.set(xlabel="thousand decisions of the team", ylabel="part of the training episodes survived", ylim=(0, 1.02))
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=9, frameon=False)
    FigureCanvasAgg(figure)
    figure.savefig(path)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.learning_curves", description=__doc__.split("\n")[0])
    parser.add_argument("--case", default="case5", help="built-in case or Grid2Op environment name")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each program")
    parser.add_argument("--iterations", type=int, default=30, help="of 1000 decisions")
    chosen = parser.parse_args(argv)
    if chosen.seeds < 1 or chosen.iterations < 2:
        parser.error(f"--seeds ({chosen.seeds}) must be at least 1 and --iterations ({chosen.iterations}) at least 2")
    curves: dict[str, list[np.ndarray]] = {program: [] for program in PROGRAMS}
    for seed in range(chosen.seeds):
        for program in PROGRAMS:
            settings = settings_of(program, seed, chosen.case, chosen.iterations)
            if len(curve(settings)) < chosen.iterations:
                process = multiprocessing.get_context("spawn").Process(target=play, args=(program, settings))
                process.start()
                process.join()
                if process.exitcode != 0:
                    parser.exit(1, f"training with {program}, seed {seed}, failed: see above\n")
            curves[program].append(curve(settings))
    rows, folder = table(curves), Path("runs") / FOLDER
    with (folder / "curves.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(curves, folder / "curves.png")
    for row in rows:
        told = ", ".join(f"{program} {row[program]:.1%} +- {row[f'{program} error']:.1%}" for program in PROGRAMS)
        print(f"{row['decisions']:>8.0f} decisions: survival {told}")


if __name__ == "__main__":
    main()
