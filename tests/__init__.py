"""Tests, and what they share: imported as `tests.…` from the root of the tree."""
