"""`python -m hookyard.cli`: the command line, for machines where scripts are not on the path."""

from hookyard.cli.main import main

main()
