"""Measurements of the whole system; each writes one table to ``benchmarks/results``."""
