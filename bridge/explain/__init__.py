"""Explain, plan and test triggers: what happened to events, and what would happen, by the live rules."""
