"""Learned regularization maps for variational MR image reconstruction with mrpro.

A reconstruction is three independent choices: what is sparse (`mrpro_lambda.regularizers`), how strongly this is
enforced at each position (a number, a map, or a network of `mrpro_lambda.nets`), and how the resulting convex problem
is solved (`mrpro_lambda.solvers`). `mrpro_lambda.models` combines them for tensors,
`mrpro_lambda.reconstruction` for `mrpro.data.KData`. `mrpro_lambda.reconstruct` makes the choices for a scan.
"""

from importlib.metadata import version

__version__ = version('mrpro-lambda')
