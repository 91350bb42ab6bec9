"""The command line as ``python -m mrpro_lambda.cli``."""

import sys

from mrpro_lambda.cli.program import main

if __name__ == '__main__':  # documentation imports all modules
    sys.exit(main())
