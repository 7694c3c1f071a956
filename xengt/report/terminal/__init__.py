"""Reports as tables for a terminal or a pipe."""
