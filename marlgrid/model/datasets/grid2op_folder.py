"""Grid2Op's environment folders as they are, without Grid2Op: its grids, rules, opponents and chronics.

Not taken over: reward, action and observation classes (their choice is a task's here). Shunts out of service do not
exist here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from marlgrid.model.datasets.customising import Case, zone_number
from marlgrid.model.datasets.grid2op_attention import read_attention
from marlgrid.model.datasets.grid2op_chronics import Names, Reading, read_interval, read_json, table_path
from marlgrid.model.datasets.grid2op_config import Config, read_config
from marlgrid.model.datasets.grid2op_grid import read_forecast_grid, read_grid
from marlgrid.model.datasets.grid2op_rules import read_attack_rules, read_attacker, read_parameters, read_rule_set
from marlgrid.model.datasets.grid2op_series import FolderSeries
from marlgrid.model.grid import Grid
from marlgrid.model.system import System
from marlgrid.model.zones import Zones, ZoneSpec, make_zones

DEFAULT_DELTA_TIME = 5.0


def load_folder(
    path_or_name: str | Path,
    zoned: Callable[[Grid, ZoneSpec], Zones] = make_zones,
    difficulty: str | None = None,
    n_busbar: int = 2,
) -> Case:
    """A Grid2Op environment folder as a system and its time series.

    Elements, names, limits and characteristics are in Grid2Op's order and values. The scenarios are the sub-folders of
    ``chronics`` in alphabetical order; a folder of mixes offers the scenarios of all of them, one mix after the other,
    on the grid and characteristics of the first (as Grid2Op does). Scenarios are split by number into 80 % train,
    10 % validation and 10 % test; one or two scenarios serve all three.

    Args:
        path_or_name: a folder, or the name of one that the installed grid2op ships or has downloaded.
        zoned: makes zones of the grid and the folder's own: the areas of its rules, else as many as suit its size.
        difficulty: a level of ``difficulty_levels.json``; ``None`` or "default" is the folder's own choice.
        n_busbar: busbars per substation.

    Raises:
        FileNotFoundError: no such folder, or one of its files is missing.
        ValueError: a file is broken, an element unknown or missing; the message names the file.
    """
    folder = find_folder(path_or_name)
    mixes = _mixes(folder)
    config = read_config(_existing(mixes[0] / "config.py"))
    chronics = [scenario for mix in mixes for scenario in _scenario_folders(mix, config)]
    grid = read_grid(mixes[0], config, n_busbar)
    series = FolderSeries(chronics, _reading(grid, config, mixes[0], chronics[0]))
    of_folder = read_rule_set(mixes[0] / "config.py", config)
    system = System(
        grid=grid,
        zones=zoned(grid, of_folder.areas or zone_number(grid)),
        parameters=read_parameters(mixes[0], difficulty),
        attack=read_attack_rules(mixes[0] / "config.py", config, grid),
        attention=read_attention(mixes[0], config, grid),
        delta_time=series.delta_time,
        rules=of_folder,
        attacker=read_attacker(mixes[0] / "config.py", config, grid),
        forecast_grid=read_forecast_grid(mixes[0], grid),
    )
    return Case(system, series)


# ---------------------------------------------------------------------- folders
def find_folder(path_or_name: str | Path) -> Path:
    """The folder of a path, or of a name that grid2op ships or has downloaded. Raises FileNotFoundError."""
    path = Path(path_or_name).expanduser()
    tried = [path, *(root / path for root in _roots())]
    for candidate in tried:
        if _is_environment(candidate):
            return candidate
    if path.is_dir():
        raise FileNotFoundError(
            f"{path} is not a Grid2Op environment folder: it holds neither grid.json (with config.py and chronics/) "
            f"nor .multimix"
        )
    raise FileNotFoundError(
        f"no Grid2Op environment folder {str(path_or_name)!r}: looked for {[str(place) for place in tried]}; give the "
        f"path of a folder, or one of the names found here: {folder_names()}"
    )


def folder_names() -> list[str]:
    """Names of the environment folders that the installed grid2op ships or has downloaded."""
    return sorted({folder.name for root in _roots() for folder in root.glob("*") if _is_environment(folder)})


def _is_environment(folder: Path) -> bool:
    return (folder / ".multimix").is_file() or (folder / "grid.json").is_file()


def _roots() -> Iterator[Path]:
    """Where named folders are: the data of the grid2op package (found without importing it), its download folder."""
    spec = importlib.util.find_spec("grid2op")
    for package in (spec.submodule_search_locations or ()) if spec else ():
        yield from (Path(package) / data for data in ("data", "data_test") if (Path(package) / data).is_dir())
    settings = Path("~/.grid2opconfig.json").expanduser()
    downloads = read_json(settings).get("data_path") if settings.is_file() else None
    yield Path(downloads or "~/data_grid2op").expanduser()


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; it is part of every Grid2Op folder")
    return path


def _mixes(folder: Path) -> list[Path]:
    """The folder itself, or its mixes in alphabetical order."""
    if not (folder / ".multimix").is_file():
        return [folder]
    mixes = sorted(mix for mix in folder.iterdir() if (mix / "grid.json").is_file())
    if not mixes:
        raise FileNotFoundError(f"{folder} is marked as a set of mixes (.multimix), but no sub-folder has a grid.json")
    return mixes


def _scenario_folders(folder: Path, config: Config) -> list[Path]:
    """The folders of the scenarios, in Grid2Op's order."""
    wanted, form = config.name_of("chronics_class"), config.name_of("grid_value_class")
    if wanted == "ChangeNothing":
        raise ValueError(f"{folder} has no time series: its config.py names the chronics class 'ChangeNothing'")
    if form == "ReadPypowNetData":
        raise ValueError(f"{folder} has time series in the old format of pypownet, which is not supported")
    chronics = folder / "chronics"
    if not chronics.is_dir():
        raise FileNotFoundError(f"{chronics} does not exist; the time series of a Grid2Op folder are there")
    if table_path(chronics, "load_p") is not None:
        return [chronics]
    found = sorted(
        scenario for scenario in chronics.iterdir() if scenario.is_dir() and not scenario.name.startswith((".", "__"))
    )
    if not found:
        raise FileNotFoundError(f"{chronics} holds no scenario; give one sub-folder of tables for each")
    return found


# ---------------------------------------------------------------------- how to read
def _reading(grid: Grid, config: Config, folder: Path, first: Path) -> Reading:
    """What ``config.py`` and the first scenario say of the tables."""
    interval = read_interval(first)
    delta_time = DEFAULT_DELTA_TIME if interval is None else interval
    feeding = config.values.get("data_feeding_kwargs")
    feeding = feeding if isinstance(feeding, Mapping) else {}
    reader = feeding.get("gridvalueClass") or config.values.get("grid_value_class")
    kind = getattr(reader, "name", "") or ""
    mapping = config.values.get("names_chronics_to_grid")
    return Reading(
        names=Names(grid.name_load, grid.name_gen, grid.name_line, mapping if isinstance(mapping, Mapping) else {}),
        gen_v_kv=grid.gen_v_kv,
        n_horizon=_n_horizon(folder, feeding.get("h_forecast"), delta_time) if _has_forecast(first) else 0,
        delta_time=delta_time,
        maintenance="none" if "WithoutMaint" in kind else "random" if "WithMaint" in kind else "table",
    )


def _has_forecast(scenario: Path) -> bool:
    return any(table_path(scenario, f"{name}_forecasted") for name in ("load_p", "load_q", "prod_p", "prod_v"))


def _n_horizon(folder: Path, minutes: Any, delta_time: float) -> int:
    """Forecast horizons, 1 unless ``h_forecast`` lists more."""
    if minutes is None:
        return 1
    expected = [delta_time * step for step in range(1, len(minutes) + 1)]
    if not np.allclose(minutes, expected):
        raise ValueError(
            f"{folder / 'config.py'}, h_forecast is {list(minutes)} minutes; give the multiples of a step, {expected}"
        )
    return len(minutes)
