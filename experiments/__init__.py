"""Studies with the environment; each module runs by itself from a checkout (``python -m experiments.train``)."""
