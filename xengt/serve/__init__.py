"""The agent of `xengt serve`: metrics of the host and of a small probe, for Prometheus.

README.md in this directory describes its threads and data flow.

- `config`: the configuration file
- `service`, `agent`: the process with its signals and systemd, and the parts that it runs
- `http`, `page`: the HTTP server, and the page with all metrics
- `dry_run`: validation of a configuration without running the agent
- `metrics`: definitions and sources of the metrics
- `probe`: the thread that maps and unmaps references and times that
- `domain_names`: the thread that follows XenStore
- `passive`: latencies of grant calls that dom0's kernel makes
- `logs`, `sd_notify`: records for journald, notifications to systemd
"""
