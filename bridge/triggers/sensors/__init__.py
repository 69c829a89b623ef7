"""Metaflow's Sensors as triggers. The known forms of a Sensor are recognised, and nothing in it is evaluated."""
