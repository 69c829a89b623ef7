"""The kinds of windows, one module each."""
