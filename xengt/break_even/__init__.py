"""Break-even: the copy size from which mapping a granted page is cheaper."""

from xengt.break_even.document import BreakEvenDocument, compare_alternatives, find_break_evens
from xengt.break_even.row import BreakEvenRow, Crossing, SizeCosts

__all__ = [
    "BreakEvenDocument",
    "BreakEvenRow",
    "Crossing",
    "SizeCosts",
    "compare_alternatives",
    "find_break_evens",
]
