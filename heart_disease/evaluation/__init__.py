"""How good a network is, and whether a challenger is better than the champion."""
