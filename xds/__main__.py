"""`python -m xds`, for where the console script is not on the path."""

from xds.cli import main

main()
