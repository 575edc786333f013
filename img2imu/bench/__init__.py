"""Benchmarks: each module has ``run(...)``, which returns a report that JSON can hold."""
