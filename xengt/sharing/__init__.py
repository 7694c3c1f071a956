"""Sharing pages: references, their publication in XenStore, gntalloc, and mapping."""
