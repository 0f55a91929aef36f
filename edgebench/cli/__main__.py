"""Run the command line as ``python -m edgebench.cli``."""

from edgebench.cli import main

main()
