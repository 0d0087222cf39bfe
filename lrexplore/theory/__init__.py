"""Pictures of the theory, for notebooks and classes."""
