"""Total variation with a weight map, as a functional with proximal mapping."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mrpro.operators.Functional import ProximableFunctional, throw_if_negative_or_complex

from mrpro_lambda.checks import check_axes, check_number, check_tensor, check_type
from mrpro_lambda.norms import GroupNorm, L1Norm, Norm
from mrpro_lambda.operators.GradientOp import Boundaries, GradientOp


class WeightedTotalVariation(ProximableFunctional):
    r"""Weighted total variation :math:`f(x) = \|\Lambda \cdot \nabla x\|_1`.

    .. math::

        f(x) = \sum_i \sum_g \Lambda_{g,i} \, \|(\nabla x)_{g,i}\|

    The norm of a group :math:`g` of directions is, unless asked otherwise, the sum of the absolute values of real and
    imaginary part of all its directions, as in `~mrpro_lambda.regularizers.TotalVariation`. Use this class where mrpro
    takes a proximable functional, for example as `g` of `mrpro.algorithms.optimizers.pgd`.

    The proximal mapping has no closed form. It is found in double precision by the accelerated projected gradient
    method on the dual problem [BEC2009]_ with step :math:`1/\|\nabla\|_2^2`, restarted where the dual objective gets
    worse [ODO2015]_:

    .. math::

        \min_q \tfrac{1}{2} \|x - \nabla^H q\|_2^2 \quad \text{subject to} \quad
        \|q_{g,i}\|_* \le \sigma \Lambda_{g,i}, \qquad p = x - \nabla^H q

    Primal and dual objective are both off by at least :math:`\tfrac{1}{2} \|p - p^*\|_2^2`, so that the duality gap
    :math:`\sigma f(p) - \mathrm{Re} \langle q, \nabla p \rangle` is an upper bound of :math:`\|p - p^*\|_2^2`.

    The convex conjugate of :math:`f` is the indicator function of a convex set. The projection to that set is
    :math:`x - \mathrm{prox}_f(x)`.

    References
    ----------
    .. [BEC2009] Beck A, Teboulle M (2009) Fast gradient-based algorithms for constrained total variation image
       denoising and deblurring problems. IEEE Trans Image Process 18(11) https://doi.org/10.1109/TIP.2009.2028250
    .. [ODO2015] O'Donoghue B, Candès E (2015) Adaptive restart for accelerated gradient schemes. Found Comput Math
       15(3) https://doi.org/10.1007/s10208-013-9150-3
    """

    def __init__(
        self,
        weight: float | torch.Tensor,
        dim: Sequence[int],
        *,
        boundary: Boundaries = 'circular',
        isotropic: bool = False,
        complex_modulus: bool = False,
        tolerance: float = 1e-6,
        max_iterations: int = 10_000,
    ) -> None:
        r"""Initialize the functional.

        Parameters
        ----------
        weight
            Weight :math:`\Lambda \ge 0`: a number, a map with the axes of the image, or one map for each direction,
            stacked along a leading axis in the order of `dim`. Axes of size 1 broadcast.
        dim
            Axes along which differences are taken, negative: counted from the last one.
        boundary
            Value assumed beyond the last sample, see `~mrpro_lambda.operators.GradientOp`.
        isotropic
            Take the Euclidean norm over the spatial directions (the last three axes) instead of the sum of absolute
            values. Other axes are groups of their own. Directions of one group must have the same weight.
        complex_modulus
            Take the modulus of complex differences instead of the sum of absolute values of real and imaginary part.
        tolerance
            Stop the proximal mapping when the duality gap is at most `tolerance` times :math:`\frac{1}{2} \|x\|_2^2`,
            the objective of a zero image, both summed over all axes. The relative error is then at most
            :math:`\|p - p^*\|_2 / \|x\|_2 \le (\mathrm{tolerance} / 2)^{1/2}`.
        max_iterations
            Largest number of iterations of the proximal mapping.

        Raises
        ------
        ValueError
            If the weight is complex, negative or not finite, if an axis is not negative, or if `tolerance` or
            `max_iterations` are not positive.
        """
        super().__init__()
        check_axes('dim', dim)
        check_number('tolerance', tolerance, positive=True)
        check_number('max_iterations', max_iterations, 1, integer=True)
        check_type('weight', weight, (torch.Tensor, int, float))
        if not isinstance(weight, torch.Tensor):
            weight = torch.tensor(weight, dtype=torch.float64)
        if weight.is_complex() or not bool((weight.isfinite() & (weight >= 0)).all()):
            raise ValueError(f'The weight must be real, finite and >= 0, got {weight.dtype}, {tuple(weight.shape)}.')
        self.weight = weight
        self.tolerance = tolerance
        self.max_iterations = max_iterations
        self._gradient_op = GradientOp(dim, boundary)
        # the spatial directions share the group of the first of them
        spatial = [i for i, d in enumerate(dim) if isotropic and d >= -3]
        self._first_of_group = [spatial[0] if i in spatial else i for i in range(len(dim))]
        self._norm: Norm = L1Norm()
        if isotropic or complex_modulus:
            groups = sorted(set(self._first_of_group))
            self._norm = GroupNorm([groups.index(i) for i in self._first_of_group], modulus=complex_modulus)

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Compute the weighted total variation.

        Parameters
        ----------
        x
            Image, real or complex.

        Returns
        -------
            Real scalar, differentiable with respect to the image and the weight.
        """
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Compute the weighted total variation. Prefer calling the instance."""
        threshold = self._threshold(x, x.dtype.to_real())
        return (self._norm.value(self._gradient_op(x)[0], threshold).sum(),)

    def prox(self, x: torch.Tensor, sigma: torch.Tensor | float = 1.0) -> tuple[torch.Tensor]:
        r"""Apply the proximal mapping, total variation denoising.

        Yields :math:`\mathrm{argmin}_p \, \sigma f(p) + \frac{1}{2} \|p - x\|_2^2`. It is not differentiable.

        Parameters
        ----------
        x
            Image, real or complex.
        sigma
            Scaling factor, real and non-negative: a number, or a map of size 1 along the axes of the differences.

        Returns
        -------
            Denoised image.

        Raises
        ------
        ValueError
            If a gradient is wanted, if the image or `sigma` are not valid, or if the weight does not broadcast.
        RuntimeError
            If `max_iterations` are not enough to reach the tolerance.
        """
        check_tensor('image', x, finite=False)
        tensors = (x, sigma, self.weight)
        if torch.is_grad_enabled() and any(isinstance(t, torch.Tensor) and t.requires_grad for t in tensors):
            raise ValueError(
                'The proximal mapping of the total variation is not differentiable, but its input requires a gradient: '
                'use it within torch.no_grad(), or a solver with n_iterations.'
            )
        if not bool(x.isfinite().all()):
            raise ValueError(f'The image must be finite, got {int((~x.isfinite()).sum())} NaN or Inf.')
        threshold = self._threshold(x, torch.float64) * self._sigma(sigma, x)
        img = self._solve(x.to(torch.complex128 if x.is_complex() else torch.float64), threshold)
        return (img.to(x.dtype),)

    def prox_convex_conj(self, x: torch.Tensor, sigma: torch.Tensor | float = 1.0) -> tuple[torch.Tensor]:
        """Apply the proximal mapping of the convex conjugate, which does not depend on `sigma`.

        Parameters
        ----------
        x
            Image, real or complex.
        sigma
            Scaling factor, real and non-negative.

        Returns
        -------
            Projection of the image to the domain of the conjugate.
        """
        self._sigma(sigma, x)
        return (x - self.prox(x)[0],)

    def _solve(self, x: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Denoise in double precision."""
        gradient_op, scale = self._gradient_op, 0.5 * x.abs().square().sum().item()
        dual = extrapolated = x.new_zeros((len(gradient_op.dim), *x.shape))
        momentum, last_objective, gap = 1.0, math.inf, math.inf
        for iteration in range(self.max_iterations + 1):
            if iteration % 10 == 0 or iteration == self.max_iterations:
                img = gradient_op.add_adjoint_(x.clone(), dual, -1.0)
                (difference,) = gradient_op(img)
                inner = (dual.conj() * difference).real.sum()
                gap = (self._norm.value(difference, threshold).sum() - inner).item()
                if gap <= self.tolerance * scale:
                    return img
                objective = img.abs().square().sum().item()
                if objective > last_objective:
                    momentum, extrapolated = 1.0, dual
                last_objective = objective
            img = gradient_op.add_adjoint_(x.clone(), extrapolated, -1.0)
            ascended = gradient_op.add_forward_(extrapolated.clone(), img, 1 / gradient_op.norm(x.shape) ** 2)
            previous, dual = dual, self._norm.project(ascended, threshold)
            factor, momentum = momentum - 1, (1 + math.sqrt(1 + 4 * momentum**2)) / 2
            extrapolated = torch.lerp(previous, dual, 1 + factor / momentum)
        raise RuntimeError(
            f'The proximal mapping of the total variation has a relative duality gap of {gap / scale:.1e} after '
            f'{self.max_iterations} iterations, above tolerance={self.tolerance:.1e}: increase max_iterations.'
        )

    def _threshold(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return the weight of each difference, after checking it against the image."""
        weight = self.weight.to(x.device, dtype)
        if weight.ndim in (0, x.ndim):
            weight = weight.reshape(1, *(weight.shape or (1,) * x.ndim))
        sizes = (len(self._first_of_group), *x.shape)
        if weight.ndim != x.ndim + 1 or any(m not in (1, n) for m, n in zip(weight.shape, sizes, strict=True)):
            raise ValueError(
                f'The weight must be a number or have the axes {sizes[1:]} or {sizes}, where size 1 broadcasts, got '
                f'shape {tuple(self.weight.shape)} for an image of shape {tuple(x.shape)} and {sizes[0]} direction(s).'
            )
        if len(weight) > 1 and not bool((weight[self._first_of_group] == weight).all()):
            raise ValueError(
                'Directions that share an isotropic norm must have the same weight, got different ones in shape '
                f'{tuple(self.weight.shape)}.'
            )
        return weight.expand(sizes)

    def _sigma(self, sigma: torch.Tensor | float, x: torch.Tensor) -> torch.Tensor:
        """Return the checked scaling factor, broadcastable to the image."""
        throw_if_negative_or_complex(sigma)
        sigma = torch.as_tensor(sigma, dtype=torch.float64, device=x.device)
        sigma = sigma.reshape((1,) * x.ndim if sigma.numel() == 1 else sigma.shape)
        sizes = [1 if axis in self._gradient_op.dim else n for axis, n in enumerate(x.shape, -x.ndim)]
        pairs = zip(sigma.shape[::-1], sizes[::-1], strict=False)
        if sigma.ndim > x.ndim or any(m not in (1, n) for m, n in pairs) or not bool(sigma.isfinite().all()):
            raise ValueError(f'sigma must be finite and broadcast to {tuple(sizes)}, got shape {tuple(sigma.shape)}.')
        return sigma
