"""Where patients come from: the bundled ones, and files."""
