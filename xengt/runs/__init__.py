"""Runs as the files of their documents, and their figures without the measurement overhead."""
