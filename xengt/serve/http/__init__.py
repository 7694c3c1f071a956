"""The HTTP server of the agent.

- `server`, `handler`: threads and requests; `connections`: how many, and how long each may wait
- `listener`: the listening socket
- `security`: what protects connections, from `tls`, `basic_auth` and `web_config`
- `negotiation`: the formats and encodings that a client accepts
- `compression`: pages in parts, each of which is compressed once

It replaces prometheus_client's server, which does TLS handshakes in the thread that accepts
all connections, compresses at zlib's slowest level, and serves only registries of its own.
"""
