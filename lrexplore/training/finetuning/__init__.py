"""Training that starts from what is there: a network with its weights, what of it moves, and whom it learns from."""
