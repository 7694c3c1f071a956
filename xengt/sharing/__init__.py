"""Sharing pages between domains: references, their publication in XenStore, gntalloc, gntdev."""
