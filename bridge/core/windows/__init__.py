"""The kinds of windows: each is one object, and one module holds what is special about it."""
