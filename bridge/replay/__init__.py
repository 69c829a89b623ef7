"""Replays: the past is read again with the live rules, and the runs that are missing are started."""
