"""Time series out of arrays: a series of the user's own tables."""

from __future__ import annotations

from marlgrid.model.outages import hazard_counters as hazard_counters
from marlgrid.model.outages import maintenance_counters as maintenance_counters
