"""The report of a training, the model card, and the page about two runs: from the same facts and figures."""
