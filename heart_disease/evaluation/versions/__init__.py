"""Trained versions and runs side by side: compared, explained by what changed between them, trained again."""
