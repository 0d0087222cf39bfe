"""The Network tab: ranks for all layers under a budget."""
