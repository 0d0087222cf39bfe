"""What the Layer tab shows of one attention head."""
