"""Shells around a task: the only objects that hold an episode.

This package has the name of PettingZoo's conventional function, so it can be called like one: ``marlgrid.env(...)`` is
``marlgrid.env.registry.env(...)``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from marlgrid.env.registry import env

        return env(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
