"""How it is solved: one loop, several algorithms, several ways to differentiate them."""

from mrpro_lambda.solvers.ADMM import ADMM
from mrpro_lambda.solvers.backward import (
    ActiveSetBackward,
    Backward,
    CheckpointedBackward,
    FullBackward,
    ImplicitBackward,
    TruncatedBackward,
)
from mrpro_lambda.solvers.certificate import Certificate, certificate
from mrpro_lambda.solvers.ConjugateGradient import ConjugateGradient
from mrpro_lambda.solvers.Continuation import Continuation
from mrpro_lambda.solvers.FISTA import FISTA
from mrpro_lambda.solvers.Iteration import Iteration
from mrpro_lambda.solvers.PD3O import PD3O
from mrpro_lambda.solvers.PDHG import PDHG
from mrpro_lambda.solvers.PreconditionedPDHG import PreconditionedPDHG
from mrpro_lambda.solvers.Problem import Problem
from mrpro_lambda.solvers.Solver import Solution, Solver

__all__ = [
    "ADMM",
    "ActiveSetBackward",
    "Backward",
    "Certificate",
    "CheckpointedBackward",
    "ConjugateGradient",
    "Continuation",
    "FISTA",
    "FullBackward",
    "ImplicitBackward",
    "Iteration",
    "PD3O",
    "PDHG",
    "PreconditionedPDHG",
    "Problem",
    "Solution",
    "Solver",
    "TruncatedBackward",
    "certificate",
]
