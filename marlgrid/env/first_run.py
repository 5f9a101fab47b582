"""The one long wait: numba compiles the kernels when they are first called on a machine, and keeps them on disk."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

from marlgrid.simulation.judge import judge_actions

LOGGER = logging.getLogger("marlgrid")


@lru_cache(maxsize=1)
def announce_compilation() -> bool:
    """Says so, once per process, when the kernels are still to be compiled; True when they are."""
    folder = Path(judge_actions.stats.cache_path)
    compiled = folder.is_dir() and any(folder.glob(f"*{judge_actions.__name__}*.nbi"))
    if not compiled:
        LOGGER.warning("first run on this machine: compiling the simulation's kernels takes a minute or so")
    return not compiled
