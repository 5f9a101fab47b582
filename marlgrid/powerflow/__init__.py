"""The physics: solvers that share one protocol (``base.PowerFlow``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marlgrid.powerflow.base import PowerFlow

if TYPE_CHECKING:
    from marlgrid.model.grid import Grid

POWER_FLOWS = ("newton", "lightsim", "pandapower", "dc")


def power_flow(spec: str | PowerFlow, grid: Grid) -> PowerFlow:
    """The solver of that name ("newton", "lightsim", "pandapower" or "dc") made for the grid, or the given one itself.

    Raises ValueError for an unknown name and TypeError for an object without a ``solve`` method.
    """
    if not isinstance(spec, str):
        if not callable(getattr(spec, "solve", None)):
            raise TypeError(
                f"power_flow is {spec!r}; give one of {POWER_FLOWS}, or an object with solve(inputs, start, rows)"
            )
        return spec
    if spec == "newton":
        from marlgrid.powerflow.newton import NewtonPowerFlow

        return NewtonPowerFlow(grid)
    if spec == "lightsim":
        from marlgrid.powerflow.lightsim import LightSimPowerFlow

        return LightSimPowerFlow(grid)
    if spec == "pandapower":
        from marlgrid.powerflow.pandapower import PandapowerPowerFlow

        return PandapowerPowerFlow(grid)
    if spec == "dc":
        from marlgrid.powerflow.dc import DCPowerFlow

        return DCPowerFlow(grid)
    raise ValueError(f"unknown power flow {spec!r}; choose from {POWER_FLOWS}, or pass an object with a solve method")
