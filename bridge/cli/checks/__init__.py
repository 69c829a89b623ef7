"""The parts of ``flowbridge check``."""
