"""Who survives whom: a matrix of defenders, attackers and attack budgets, all on the same episodes.

``python -m experiments.robustness --case case14 --defenders do-nothing reconnect greedy --attackers none random
worst-case --budgets day-1 day-2 --episodes 50``

Every cell plays the same scenarios from the same starts with the same seeds, so that scripted attackers draw the same
and differences are taken episode by episode. Written to ``runs/<name>/``: ``episodes.parquet`` (one row per cell and
episode), ``summary.csv``, ``exploitability.csv``, pictures, and ``report.html``, a single file that also replays some
blackouts. Each cell is saved when it is done: the same command goes on after an interruption.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from experiments.budgets import CASE, HOURS_APART
from experiments.replay_choice import blackouts
from experiments.replay_record import replay
from experiments.robustness_html import write_report
from experiments.robustness_play import NOBODY, Cell, Contestant, Study
from experiments.robustness_plots import draw_heat_maps, draw_survival
from experiments.robustness_run import results
from experiments.robustness_table import (
    ALL,
    BEST_RESPONSE,
    STRATA,
    as_text,
    exploitability,
    exploitability_text,
    summary,
)
from experiments.strata import strata

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        defenders, attackers = _contestants(asked.defenders), _contestants(asked.attackers)
        cells = matrix(defenders, attackers, asked.budgets, _responses(asked.best_response, defenders))
        study = Study(**{field.name: getattr(asked, field.name) for field in fields(Study)})
        folder = Path("runs") / (asked.name or f"robustness-{Path(asked.case).name}")
        figures = run(study, cells, folder, jobs=asked.jobs, ray=asked.ray)
        report(study, cells, folder, figures, asked.replays, asked.frames)
    except (ValueError, KeyError) as error:  # of a contestant, told by who makes it
        parser.exit(2, f"{parser.prog}: error: {error.args[0]}\n")
    except KeyboardInterrupt:
        print(_saved("stopped", folder), file=sys.stderr)
        return INTERRUPTED
    except BrokenProcessPool:
        print(_saved("a process was killed (out of memory? --jobs 1 needs less)", folder), file=sys.stderr)
        return 1
    return 0


def _saved(what: str, folder: Path) -> str:
    done = len(list((folder / "cells").glob("*.parquet")))
    return f"\n{what}: {done} cells are saved in {folder}; the same command goes on from there"


def matrix(
    defenders: Sequence[Contestant],
    attackers: Sequence[Contestant],
    budgets: Sequence[str],
    responses: dict[str, Contestant],
) -> list[Cell]:
    """All cells: every attacker with every budget against every defender, and each best response against its own.

    Raises ValueError for two of the same label.
    """
    for kind, chosen in (("defenders", defenders), ("attackers", attackers)):
        labels = [contestant.label for contestant in chosen]
        if len(set(labels)) < len(labels):
            raise ValueError(f"{kind} {labels} are not all different: tell them apart with label:name or label:folder")
    cells = [
        Cell(defender, attacker, budget)
        for budget in budgets
        for attacker in attackers
        if attacker.label != NOBODY
        for defender in defenders
    ]
    cells += [
        Cell(defender, responses[defender.label], budget)
        for budget in budgets
        for defender in defenders
        if defender.label in responses
    ]
    peaceful = [attacker for attacker in attackers if attacker.label == NOBODY]
    return [Cell(defender, attacker, NOBODY) for attacker in peaceful for defender in defenders] + cells


class Figures(NamedTuple):
    """What a matrix comes to."""

    episodes: pd.DataFrame
    """One row per cell and episode."""
    table: pd.DataFrame
    """``robustness_table.summary`` of them."""
    gaps: pd.DataFrame
    """``robustness_table.exploitability`` of them."""


def run(study: Study, cells: Sequence[Cell], folder: Path, jobs: int = 1, ray: str | None = None) -> Figures:
    """Plays what is missing, writes all files but the report, prints the tables."""
    episodes = results(study, cells, folder, jobs, ray)
    kinds = strata(study.task(cells[0]), study.starts())
    episodes["stratum"] = kinds[episodes.episode]
    table = summary(episodes)
    gaps = exploitability(episodes)
    episodes.to_parquet(folder / "episodes.parquet", index=False)
    table.to_csv(folder / "summary.csv", index=False)
    gaps.to_csv(folder / "exploitability.csv", index=False)
    budgets, attackers, defenders = axes_of(cells)
    print(f"\n{note(study)}")
    for budget in budgets:
        print("\n" + as_text(table, budget, attackers, defenders), flush=True)
    print("\n" + exploitability_text(gaps), flush=True)
    draw_heat_maps(table, budgets, attackers, defenders, folder)
    draw_survival(episodes, budgets, attackers, defenders, folder)
    return Figures(episodes, table, gaps)


def note(study: Study) -> str:
    """What the episodes are, and a warning where they are not independent."""
    starts = study.starts()
    n, scenarios = len(starts.seed), len(set(starts.scenario.tolist()))
    told = f"{n} {study.split} episodes of {study.steps} steps, {study.difficulty} difficulty"
    if scenarios == n:
        return told
    return f"{told}, from {scenarios} scenarios: not independent, so the intervals are too narrow"


def report(
    study: Study, cells: Sequence[Cell], folder: Path, figures: Figures, n_replay: int = 6, n_frame: int = 60
) -> None:
    """``report.html`` out of what ``run`` gave and wrote, with replays of ``n_replay`` blackouts."""
    by_key = {cell.key: cell for cell in cells}
    chosen = blackouts(figures.episodes, n_replay)
    replays = [
        replay(study, by_key[key], number, n_frame)
        for key, number in tqdm(chosen, unit="episode", desc="replaying blackouts", disable=None)
    ]
    path = folder / "report.html"
    write_report(
        path,
        title=f"Robustness on {study.case}",
        subtitle=note(study),
        command=" ".join(["python -m experiments.robustness", *sys.argv[1:]]),
        table=figures.table,
        gaps=figures.gaps,
        axes=axes_of(cells),
        curves=folder / "survival.png",
        replays=replays,
    )
    print(f"\n{path}: {path.stat().st_size / 1e6:.1f} MB", flush=True)


def axes_of(cells: Sequence[Cell]) -> tuple[list[str], list[str], list[str]]:
    """Labels of budgets, attackers and defenders, in the order in which they were asked for."""
    budgets, attackers, defenders = (
        list(dict.fromkeys(labels)) for labels in zip(*(c.key for c in cells), strict=True)
    )
    return [budget for budget in budgets if budget != NOBODY] or budgets, attackers, defenders


def _contestants(texts: Sequence[str]) -> list[Contestant]:
    return [Contestant.parse(text) for text in texts]


def _responses(texts: Sequence[str], defenders: Sequence[Contestant]) -> dict[str, Contestant]:
    """Label of a defender -> the attacker that was trained against it."""
    labels = [defender.label for defender in defenders]
    found = {}
    for text in texts:
        label, given, spec = text.rpartition("=")
        if not given or label not in labels:
            raise ValueError(f"--best-response {text}: give DEFENDER=ATTACKER with a defender out of {labels}")
        found[label] = Contestant(BEST_RESPONSE, spec)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.robustness",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--case", default="case14", help="built-in case, Grid2Op environment name or folder")
    add("--zones", type=int, default=0, help="number of zones; 0: those of the case")
    add(
        "--defenders",
        nargs="+",
        default=["do-nothing", "reconnect", "greedy"],
        help="names, checkpoint folders, label:either",
    )
    add("--attackers", nargs="+", default=["none", "random", "weighted", "worst-case"], help="likewise")
    add("--budgets", nargs="+", default=["day-1"], choices=[CASE, *HOURS_APART], help="how often they may attack")
    add("--best-response", nargs="+", default=[], metavar="DEFENDER=ATTACKER", help="attackers made for one defender")
    add("--episodes", type=int, default=50, help="per cell")
    add("--steps", type=int, default=288, help="of an episode")
    add("--split", default="test", choices=("train", "validation", "test"))
    add("--stratum", default=ALL, choices=STRATA, help="play episodes of one kind only")
    add("--difficulty", default="default", help="easy, default, hard, or a level of the Grid2Op folder")
    add("--seed", type=int, default=0, help="of starts and attacks")
    add("--jobs", type=int, default=2, help="processes")
    add("--ray", nargs="?", const="local", default=None, metavar="ADDRESS", help="play on a Ray cluster instead")
    add("--replays", type=int, default=6, help="blackouts to replay in the report")
    add("--frames", type=int, default=60, help="last steps of each replay")
    add("--name", default="", help="folder under runs/; empty: robustness-<case>")
    return parser


if __name__ == "__main__":
    sys.exit(main())
