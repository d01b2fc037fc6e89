"""What travels with a registered model: columns, encoder, network, threshold. It imports nothing else of ours."""
