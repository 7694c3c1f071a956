"""Reports of runs, comparisons, usage and plans: HTML pages, terminal tables, logs."""
