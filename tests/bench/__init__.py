"""The bench: speeds, latencies, memory and recovery, measured on real servers (docs/performance.md)."""
