"""The news joined with causal market features by a model of their own, fitted on the past."""
