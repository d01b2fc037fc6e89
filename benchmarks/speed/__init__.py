"""Seconds, memory and throughput, side by side with the usual ways."""
