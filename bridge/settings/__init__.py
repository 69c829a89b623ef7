"""The settings: their sources, their types, and their groups."""
