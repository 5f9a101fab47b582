"""Built-in scenario generator: loads, wind, sun, schedules and maintenance from a scenario number alone."""

from marlgrid.model.generator.series import SPLITS as SPLITS
from marlgrid.model.generator.series import GeneratedSeries as GeneratedSeries
