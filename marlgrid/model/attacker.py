"""The attacker that a data set comes with: which one, and how it is set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Attacker:
    """Name and settings of a scripted attacker; ``marlgrid.task.opponents`` makes it."""

    name: str = "none"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the attacker's class."""


NOBODY = Attacker()
"""No attacker."""
