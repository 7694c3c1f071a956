"""Statistics that several reports use, without NumPy."""
