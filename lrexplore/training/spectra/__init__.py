"""What a run records of the spectra of its layers."""
