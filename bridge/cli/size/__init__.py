"""``flowbridge size``: how much an installation takes, from the rates of its events."""
