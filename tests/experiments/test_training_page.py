"""The page on training keeps its word: its Python blocks run, and its commands have options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("torch")

from experiments.adversarial import AdversarialSettings
from experiments.settings import TrainSettings, parsed

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
COMMANDS = re.findall(r"^    python -m experiments\.(train|train_batch|adversarial) (.*)$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_block_runs(block):
    exec(compile(block, "training.md", "exec"), {"__name__": "__page__"})


@pytest.mark.parametrize(("program", "options"), COMMANDS)
def test_options_exist(program, options):
    kind = AdversarialSettings if program == "adversarial" else TrainSettings
    parsed(kind, shlex.split(options), program, "")


def test_every_option_that_is_named_exists():
    names = {name for kind in (TrainSettings, AdversarialSettings) for name in kind.__dataclass_fields__}
    for option in set(re.findall(r"`--([a-z-]+)", PAGE)):
        assert option.replace("-", "_") in names, option
