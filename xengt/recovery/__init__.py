"""Cleanup after a killed run: the journal records its mappings, the sweep undoes them."""
