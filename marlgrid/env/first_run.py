"""The one long wait: numba compiles the kernels when they are first called on a machine, and keeps them on disk."""

from __future__ import annotations

import logging
from functools import lru_cache

from marlgrid.compiled import is_compiled
from marlgrid.simulation.protections import trip

LOGGER = logging.getLogger("marlgrid")


@lru_cache(maxsize=1)
def announce_compilation() -> bool:
    """Says so, once per process, when the kernels are still to be compiled, or are older than their text."""
    compiled = is_compiled(trip)
    if not compiled:
        LOGGER.warning("first run on this machine: compiling the simulation's kernels takes a minute or so")
    return not compiled
