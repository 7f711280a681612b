"""Experiments: configuration, the pipeline, the audit, reports and the command line."""
