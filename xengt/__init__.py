"""xengt exercises Xen grants from dom0 and measures what mapping them costs."""

__version__ = "0.3.0"
