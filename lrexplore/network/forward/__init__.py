"""What one forward pass of a model tells of its layers: the graph, sizes, what follows, what cannot be factorized."""
