"""One module per stage: plain functions on plain values."""
