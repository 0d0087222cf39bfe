"""The Layer tab: one layer, a rank, an initializer."""
