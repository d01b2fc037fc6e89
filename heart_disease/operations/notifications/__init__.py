"""What people are told without asking: runs that end badly, silence, and a deployment that nobody serves."""
