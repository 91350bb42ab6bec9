"""Command line `mrpro-lambda`."""
from mrpro_lambda.cli.program import main

__all__ = ["main"]
