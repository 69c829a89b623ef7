"""Metaflow's Sensors as triggers: what Argo Events would have done by their text, recognised and never evaluated."""
