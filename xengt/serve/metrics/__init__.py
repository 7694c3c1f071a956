"""Where the series of a scrape come from, and the forms in which they are written."""
