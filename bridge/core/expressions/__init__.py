"""Expressions: CEL, its types, and a bound of what an evaluation costs."""
