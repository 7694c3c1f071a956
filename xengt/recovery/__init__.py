"""Cleaning up after a killed run: the journal records what it did, the sweep undoes it."""
