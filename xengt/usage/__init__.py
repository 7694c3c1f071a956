"""Reads the sizes of the domains' grant and maptrack tables, and the domains' mappings."""

from xengt.usage.document import COUNTS, DomainUsage, Missing, Usage
from xengt.usage.reading import TableReader, read_usage

__all__ = ["COUNTS", "DomainUsage", "Missing", "TableReader", "Usage", "read_usage"]
