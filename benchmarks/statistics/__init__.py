"""How often a verdict errs, and which settings are best: on real patients, and on simulated ones of known truth."""
