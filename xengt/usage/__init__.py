"""How much of their grant and maptrack tables the domains use, and what they have mapped."""

from xengt.usage.document import COUNTS, DomainUsage, Missing, Usage
from xengt.usage.reading import read_usage

__all__ = ["COUNTS", "DomainUsage", "Missing", "Usage", "read_usage"]
