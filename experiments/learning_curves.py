"""Whether PPO on the batch learns as RLlib's does: ``python -m experiments.learning_curves``.

Both train the same task with the same settings and seeds, one run after the other, taking turns. Every few iterations
the team as it stands plays the same held-out days, so that the two are measured alike: the survival that the programs
log is over the episodes of one iteration in RLlib (2.60 empties its windows at each report) and over the last hundred
in the batch, which lags while survival rises. The curves go to ``runs/curves/curves.csv``, ``.png`` and the terminal;
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
from scipy.stats import ttest_ind

from experiments.settings import TrainSettings

FOLDER = Path("curves")
"""Under runs/."""
PROGRAMS = {"RLlib": ("experiments.train", "RLlibTeam"), "batch": ("experiments.train_batch", "BatchTeam")}
"""Name -> module and class of the learner; they are imported where they run."""
COLOURS = {"RLlib": "#D6604D", "batch": "#2166AC"}
EVERY = 3
"""Iterations between two measurements."""
DAYS = 64
"""Held-out days of each."""
LAST = 10_000
"""Decisions at the end of a run whose measurements make up its result."""
COLUMNS = ("decisions", "held_out", "logged")


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
    )


def play(program: str, settings: TrainSettings) -> None:
    """Trains and measures; in a process of its own."""
    from experiments.evaluation import Starts, evaluate
    from experiments.tasks import task_of

    module, name = PROGRAMS[program]
    learner = getattr(importlib.import_module(module), name)(settings)
    task = task_of(settings, "none", "validation")
    days = Starts.of_split(task, "validation", DAYS, settings.max_steps)
    settings.folder.mkdir(parents=True, exist_ok=True)
    with (settings.folder / "curve.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for iteration in range(1, settings.iterations + 1):
            row = learner.iterate()
            if iteration % EVERY == 0:
                survival = evaluate(task, learner.team(), days).survival.mean()
                writer.writerow([row["decisions"], float(survival), row.get("survival", "nan")])
                file.flush()
    learner.close()


def curve(settings: TrainSettings) -> np.ndarray:
    """(n, 3) decisions, survival on the held-out days, survival as the program logged it; as far as the run went."""
    path = settings.folder / "curve.csv"
    if not path.exists():
        return np.zeros((0, 3))
    with path.open() as file:
        return np.array([[float(row[name]) for name in COLUMNS] for row in csv.DictReader(file)]).reshape(-1, 3)


def table(curves: dict[str, list[np.ndarray]]) -> list[dict[str, float]]:
    """Mean and standard error over the seeds at common numbers of decisions, on held-out days and as logged."""
    several = [own for each in curves.values() for own in each]
    n_point = min(len(own) for own in several)
    first, last = max(own[0, 0] for own in several), min(own[-1, 0] for own in several)
    rows = []
    for decisions in np.linspace(first, last, n_point):
        row = {"decisions": float(decisions)}
        for program, each in curves.items():
            for column, kind in ((1, ""), (2, " logged")):
                survival = np.array([np.interp(decisions, own[:, 0], own[:, column]) for own in each])
                row[program + kind] = float(survival.mean())
                error = survival.std(ddof=1) / np.sqrt(len(survival)) if len(survival) > 1 else 0.0
                row[f"{program}{kind} error"] = float(error)
        rows.append(row)
    return rows


def results(curves: Sequence[np.ndarray], column: int = 1) -> np.ndarray:
    """(n_seed,) mean of a column over the last ``LAST`` decisions of each run."""
    return np.array([own[own[:, 0] > own[-1, 0] - LAST, column].mean() for own in curves])


def verdict(curves: dict[str, list[np.ndarray]]) -> list[str]:
    """How far the programs are apart at the end, with Welch's 95 % interval."""
    lines = []
    for column, kind in ((1, "held-out days"), (2, "training log")):
        first, second = (results(curves[program], column) for program in PROGRAMS)
        told = ", ".join(f"{p} {results(own, column).mean():.1%}" for p, own in curves.items())
        line = f"{kind}, mean of the last {LAST} decisions: {told}; {' - '.join(PROGRAMS)} = "
        line += f"{100 * (first.mean() - second.mean()):+.1f} points"
        if min(len(first), len(second)) > 1:
            found = ttest_ind(first, second, equal_var=False)
            low, high = found.confidence_interval()
            line += f" ({100 * low:+.1f} to {100 * high:+.1f}, p = {found.pvalue:.2f})"
        lines.append(line)
    return lines


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
    axes.set(xlabel="thousand decisions of the team", ylabel="part of the held-out days survived", ylim=(0, 1.02))
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=9, frameon=False)
    FigureCanvasAgg(figure)
    figure.savefig(path)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.learning_curves", description=__doc__.split("\n")[0])
    parser.add_argument("--case", default="case5", help="built-in case or Grid2Op environment name")
    parser.add_argument("--seeds", type=int, default=6, help="runs of each program")
    parser.add_argument("--iterations", type=int, default=30, help="of 1000 decisions")
    chosen = parser.parse_args(argv)
    if chosen.seeds < 1 or chosen.iterations < EVERY:
        parser.error(
            f"--seeds ({chosen.seeds}) must be at least 1, --iterations ({chosen.iterations}) at least {EVERY}"
        )
    curves: dict[str, list[np.ndarray]] = {program: [] for program in PROGRAMS}
    for seed in range(chosen.seeds):
        for program in PROGRAMS:
            settings = settings_of(program, seed, chosen.case, chosen.iterations)
            if len(curve(settings)) < chosen.iterations // EVERY:
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
    print("\n".join(verdict(curves)))


if __name__ == "__main__":
    main()
