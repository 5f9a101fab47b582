"""Marker shapes that matplotlib does not have."""

from __future__ import annotations

from matplotlib.path import Path

BOLT = Path([(0.18, 1.0), (-0.52, -0.14), (-0.06, -0.14), (-0.2, -1.0), (0.52, 0.2), (0.06, 0.2), (0.18, 1.0)])
"""Lightning: an attacked line."""

BATTERY = Path(
    [(-0.55, -0.95), (0.55, -0.95), (0.55, 0.75), (0.22, 0.75), (0.22, 0.98), (-0.22, 0.98), (-0.22, 0.75)]
    + [(-0.55, 0.75), (-0.55, -0.95)]
)

GEN_MARKERS = {"thermal": "s", "nuclear": "h", "hydro": "D", "wind": (3, 1, 0), "solar": "o"}
"""Shape of a generator by technology."""
