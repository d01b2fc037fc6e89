"""The measurements behind what docs/ says about speed and the default recipe, side by side with the usual ways."""
