"""The Grafana dashboards of the xengt agents: definition, JSON model and rendering as a picture."""
