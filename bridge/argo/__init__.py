"""Workflows: manifests, create-and-verify, WorkflowTemplate look-up."""
