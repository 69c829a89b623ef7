"""The submitter: it creates Workflows."""
