"""The agent: what the host tells, and what its own probe measures, for a Prometheus to scrape."""
