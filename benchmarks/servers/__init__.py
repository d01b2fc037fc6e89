"""What a fault loses, and what grows in hundreds of runs: on real processes and servers."""
