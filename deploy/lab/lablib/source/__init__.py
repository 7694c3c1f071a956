"""The sources of Xen and Linux: which version, where it is downloaded, and the patch series."""
