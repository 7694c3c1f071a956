"""`lab trace`: the instructions, locks and fences of a grant operation in Xen."""
