"""Upper bound of the norm of a Gram operator."""

from __future__ import annotations

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp


def gram_norm(
    gram: LinearOperator,
    img: torch.Tensor,
    transfer: torch.Tensor | None = None,
    dim: tuple[int, ...] = (),
    *,
    n_iterations: int = 32,
    margin: float = 1.05,
) -> float:
    r"""Return an upper bound of :math:`\|A^H A\|_2`, or of the smallest factor :math:`c` with :math:`A^H A \le c C`.

    It is in closed form for Cartesian acquisitions. For others it is a power iteration from a seeded start. mrpro's 20
    iterations from a random start under-estimated known norms by up to 1.5 % (2.4 % in the square), hence more
    iterations here and a margin.

    Parameters
    ----------
    gram
        Gram operator of the acquisition.
    img
        An image of the shape, precision and device that the operator is for.
    transfer
        Positive transfer function of a circulant operator :math:`C`. `None` is the identity.
    dim
        Axes of its Fourier transform.
    n_iterations
        Number of power iterations.
    margin
        Factor on the estimated squared norm.
    """
    if transfer is None and isinstance(gram, CirculantGramOp):
        return gram.norm_squared_bound().item()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(img.shape, generator=generator, dtype=img.dtype).to(img.device)
    inverse_root = None if transfer is None else transfer.rsqrt().to(img.dtype.to_real())

    def precondition(x: torch.Tensor) -> torch.Tensor:
        if inverse_root is None:
            return x
        return torch.fft.ifftn(torch.fft.fftn(x, dim=dim) * inverse_root, dim=dim)

    norm = torch.ones(())
    with torch.no_grad():
        for _ in range(n_iterations):
            x = x / x.norm()
            x = precondition(gram(precondition(x))[0])
            norm = x.norm()
    return margin * norm.item()
