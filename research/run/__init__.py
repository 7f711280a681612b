"""One run, stage by stage, in the order of the pipeline."""
