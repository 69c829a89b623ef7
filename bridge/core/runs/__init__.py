"""Runs: their identity, parameters, limits and deadlines."""
