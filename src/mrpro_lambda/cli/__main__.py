"""The command line as ``python -m mrpro_lambda.cli``."""

import sys

from mrpro_lambda.cli.program import main

sys.exit(main())
