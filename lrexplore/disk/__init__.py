"""Files: paths checked before work is done for them, and tensors with a description."""
