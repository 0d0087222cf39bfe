"""Attention heads under a budget: their error at every rank, and how far they move the network's output."""
