"""What travels with a registered model: columns, encoder, network, threshold. It imports no other package of ours."""
