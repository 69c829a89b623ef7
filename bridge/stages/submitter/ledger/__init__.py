"""The ledger: the outcome of each run."""
