"""Spectra over time in the training tab: read, drawn, and the row of their controls."""
