"""What the lab builds and keeps in the cache: Debian roots, hypervisor, kernel, package, image."""
