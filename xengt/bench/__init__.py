"""A benchmark: plan, engines and granters, the run, its results and its document."""
