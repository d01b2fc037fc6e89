"""What the README claims about speed and about the default recipe, side by side with what a user would do instead."""
