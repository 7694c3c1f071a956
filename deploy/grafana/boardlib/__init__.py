"""The dashboard of xengt's agents: what it shows, as Grafana's JSON and as a picture."""
