"""What a run or a comparison looks like: on a terminal, and as a page."""
