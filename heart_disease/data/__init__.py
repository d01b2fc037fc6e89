"""Where patients come from: the bundled ones, files, addresses and published copies; and who they are."""
