"""Plays the cells of a matrix in several processes or on a Ray cluster; each is saved when it is done."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from experiments.robustness_play import Cell, Study, play


def results(study: Study, cells: Sequence[Cell], folder: Path, jobs: int = 1, ray: str | None = None) -> pd.DataFrame:
    """One row per cell and episode, in the order of ``cells``; what ``folder`` has already is not played again.

    ``ray`` is the address of a cluster (``"local"`` starts one here); None plays in ``jobs`` processes. Raises
    ValueError where the folder holds results of another study.
    """
    _check(study, folder)
    store = folder / "cells"
    store.mkdir(parents=True, exist_ok=True)
    missing = [cell for cell in cells if not (store / cell.file).exists()]
    progress = tqdm(total=len(cells), initial=len(cells) - len(missing), unit="cell", desc="playing", disable=None)
    with progress:
        for cell, frame in _played(study, missing, jobs, ray):
            _save(frame, store / cell.file)
            progress.set_postfix_str(f"{' | '.join(cell.key)}: {frame.survival.mean():.0%}")
            progress.update()
    return pd.concat([pd.read_parquet(store / cell.file) for cell in cells], ignore_index=True)


def _played(study: Study, cells: Sequence[Cell], jobs: int, ray: str | None) -> Iterator[tuple[Cell, pd.DataFrame]]:
    """The cells as they are done."""
    if ray is not None:
        yield from _on_ray(study, cells, ray)
    elif jobs == 1 or len(cells) <= 1:
        yield from ((cell, play(study, cell)) for cell in cells)
    else:
        yield from _in_processes(study, cells, jobs)


def _in_processes(study: Study, cells: Sequence[Cell], jobs: int) -> Iterator[tuple[Cell, pd.DataFrame]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_leave_to_parent) as pool:
        waiting = {pool.submit(play, study, cell): cell for cell in cells}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _leave_to_parent() -> None:
    """Ctrl-C reaches the whole process group: it is for the parent to end the others, and to say so once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _on_ray(study: Study, cells: Sequence[Cell], address: str) -> Iterator[tuple[Cell, pd.DataFrame]]:
    """Checkpoints are read on the workers, from the paths given here: all machines must see them."""
    import ray  # a cluster is the exception: the others need not wait for the import

    ray.init(address=None if address == "local" else address, log_to_driver=False, ignore_reinit_error=True)
    remote = ray.remote(num_cpus=1)(play)
    waiting = {remote.remote(study, cell): cell for cell in cells}
    try:
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            yield waiting.pop(done), ray.get(done)
    finally:
        ray.shutdown()


def _check(study: Study, folder: Path) -> None:
    """One folder, one study: cells of other episodes do not belong into the same table."""
    path, asked = folder / "study.json", asdict(study)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asked, indent=2) + "\n")
        return
    there = asdict(Study(**json.loads(path.read_text())))
    if there != asked:
        differing = {key: (there[key], asked[key]) for key in asked if there[key] != asked[key]}
        told = ", ".join(f"{key} {was!r} (asked for {now!r})" for key, (was, now) in differing.items())
        raise ValueError(f"{folder} holds another study: {told}. Give another --name, or remove the folder")


def _save(frame: pd.DataFrame, path: Path) -> None:
    """Whole or not at all."""
    unfinished = path.with_suffix(".part")
    frame.to_parquet(unfinished, index=False)
    unfinished.replace(path)
