"""`python3 -m xengt` is the `xengt` command."""

from xengt.cli import main

main()
