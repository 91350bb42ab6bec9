"""Upper bound of the norm of a Gram operator."""

from __future__ import annotations

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.real_parts import real_parts
from mrpro_lambda.operators.ToeplitzGramOp import ToeplitzGramOp


def gram_norm(
    gram: LinearOperator,
    img: torch.Tensor,
    transfer: torch.Tensor | None = None,
    dim: tuple[int, ...] = (),
    *,
    coupled_dim: tuple[int, ...] = (),
    n_iterations: int = 10,
    margin: float = 1.05,
) -> torch.Tensor:
    r"""Return an upper bound of :math:`\|A^H A\|_2`, or of the smallest factor :math:`c` with :math:`A^H A \le c C`.

    For Cartesian acquisitions it is proven, as it has a closed form. For others it is an estimate: the method of
    Lanczos [LAN1950]_ from a seeded start, times a margin, and not more than what is proven for a `ToeplitzGramOp`.
    mrpro's 20 power iterations from a random start under-estimated known norms by up to 1.5 % (2.4 % in the square),
    hence the margin. For 48 spokes and 8 coils at 144 x 144, what is proven was 2.9 times the estimate.

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
    coupled_dim
        Negative axes along which images share one bound, such as those that a regularizer acts along. Images that the
        operator itself couples share one anyway.
    n_iterations
        Number of iterations, each with one Gram operator.
    margin
        Factor on the estimated squared norm.

    Returns
    -------
        Bound for each image, float64, shape `(*other, 1, 1, 1, 1)`, with 1 for axes along which it is the same. That of
        an image does not depend on those that it shares no bound with.

    References
    ----------
    .. [LAN1950] Lanczos C (1950) An iteration method for the solution of the eigenvalue problem of linear differential
       and integral operators. J Res Natl Bur Stand 45(4) https://doi.org/10.6028/jres.045.026
    """
    if transfer is None and isinstance(gram, CirculantGramOp):
        bound = gram.norm_squared_bound().to(img.device, torch.float64)
    else:
        bound = margin * _lanczos(gram, img, transfer, dim, n_iterations)
        if transfer is None and isinstance(gram, ToeplitzGramOp):
            bound = bound.minimum(gram.norm_squared_bound().to(torch.float64))
    bound = bound.reshape(*(1,) * (img.ndim - bound.ndim), *bound.shape)
    coupled = tuple(d for d in coupled_dim if -img.ndim <= d < -4)
    return bound.amax(coupled, keepdim=True) if coupled else bound


@torch.no_grad()
def _lanczos(
    gram: LinearOperator, img: torch.Tensor, transfer: torch.Tensor | None, dim: tuple[int, ...], n_iterations: int
) -> torch.Tensor:
    """Estimate the largest eigenvalue from below, for each image that the operator does not couple with others."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(img.shape[-4:], generator=generator, dtype=img.dtype).to(img.device)
    inverse_root = None if transfer is None else transfer.rsqrt().to(img.dtype.to_real())

    def scaled(x: torch.Tensor) -> torch.Tensor:
        y = torch.fft.ifftn(torch.fft.fftn(x, dim=dim) * inverse_root, dim=dim)
        return y if x.is_complex() else y.real

    def apply(x: torch.Tensor) -> torch.Tensor:
        if inverse_root is None:
            return gram(x)[0]
        return scaled(gram(scaled(x))[0])

    # each image has the start that it has when it is alone
    x, axes = start.expand(img.shape), tuple(range(-4, 0))
    if img.shape[:-4].numel() > 1:
        # different factors show whether the operator mixes images: then they share one iteration
        factor = 1 + torch.rand(img.shape[:-4], generator=generator)[..., None, None, None, None].to(img.device)
        expected, mixed = factor * apply(x), apply(factor * x)
        everything = tuple(range(-img.ndim, 0))
        if bool((_norm(mixed - expected, everything) > 1e-3 * _norm(expected, everything)).any()):
            x, axes = factor * x, everything
    previous, below = torch.zeros_like(x), torch.zeros((), dtype=torch.float64, device=x.device)
    x = x / _norm(x, axes).to(img.dtype.to_real())
    diagonal, beside = [], []
    for _ in range(n_iterations):
        y = apply(x) - below.to(img.dtype.to_real()) * previous
        diagonal.append(_inner(x, y, axes))
        y = y - diagonal[-1].to(img.dtype.to_real()) * x
        below = _norm(y, axes)
        beside.append(below)
        previous, x = x, y / below.clamp_min(torch.finfo(torch.float32).tiny).to(img.dtype.to_real())
    largest = _largest_eigenvalue(torch.stack(diagonal, -1), torch.stack(beside[:-1], -1))
    mantissa, exponent = largest.clamp_min(torch.finfo(torch.float32).tiny).frexp()
    return (mantissa * 4096).ceil().ldexp(exponent) / 4096  # rounded up: the same number with any order of sums


def _largest_eigenvalue(diagonal: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
    """Return the largest eigenvalue of symmetric tridiagonal matrices, up to the first zero beside the diagonal."""
    # what comes after an invariant subspace is rounding
    inside = (beside > 1e-10 * diagonal.abs().amax(-1, keepdim=True)).long().cumprod(-1).to(beside.dtype)
    first = torch.cat((torch.ones_like(inside[..., :1]), inside), -1)
    beside = inside * beside
    matrix = torch.diag_embed(first * diagonal) + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)
    return torch.linalg.eigvalsh(matrix)[..., -1]


def _inner(a: torch.Tensor, b: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """Return the real part of inner products along negative axes."""
    return (real_parts(a) * real_parts(b)).sum((*(d - 1 for d in axes), -1), keepdim=True, dtype=torch.float64)[..., 0]


def _norm(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """Return the Euclidean norm along negative axes."""
    # that of a complex tensor takes a hundred times as long
    dim = (*(d - 1 for d in axes), -1)
    return torch.linalg.vector_norm(real_parts(x), dim=dim, keepdim=True, dtype=torch.float64).squeeze(-1)
