"""Commands that keep the pipeline running, tell about it and tidy up."""
