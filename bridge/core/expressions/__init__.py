"""Expressions: CEL, its types, and a bound on the cost of an evaluation."""
