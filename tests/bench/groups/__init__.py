"""The groups of the bench: each fills topics, runs clients in turns, and returns lines of the table."""
