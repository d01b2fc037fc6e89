"""Commands that keep the pipeline running, report on it and tidy up."""
