"""How much of their grant and maptrack tables the domains use, and what they have mapped."""

from xengt.usage.document import COUNTS, Domain, Missing, Usage
from xengt.usage.reading import read

__all__ = ["COUNTS", "Domain", "Missing", "Usage", "read"]
