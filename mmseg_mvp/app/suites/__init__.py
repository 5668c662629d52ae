"""Suites of benchmark rows, for ``tools/benchmark.py``: what to run, who runs it, and the tables of the results."""
