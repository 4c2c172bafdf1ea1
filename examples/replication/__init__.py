"""The parts of `examples/replicate.py`, which imports numpy, scipy and pandas only."""
