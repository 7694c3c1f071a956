"""Metrics of the agent: their definitions, and the sources of their series.

- `metric_definition`, `definitions`: name, type, unit, labels and HELP text of every metric
- `metric_families`: the series of a metric at one scrape
- `build_metrics`, `reload_metrics`, `host_metrics`, `console_metrics`, `probe_metrics`: sources;
  two more are `xengt.serve.domain_names` and `xengt.serve.passive.kernel_metrics`
- `native_histogram`: the native form of a latency histogram, whose other form is
  `xengt.serve.buckets`
"""
