"""The library and the programs behind the flows: one room for each trade."""
