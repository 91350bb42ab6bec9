"""Poisson counts of transmitted photons."""

from __future__ import annotations

import copy
import math
import warnings
from functools import cached_property
from typing import Self

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_number, check_tensor, check_type
from mrpro_lambda.data_terms.circulant_bound import CirculantBound, circulant_bound
from mrpro_lambda.data_terms.DataTerm import DataTerm
from mrpro_lambda.data_terms.gram_norm import gram_norm
from mrpro_lambda.data_terms.LeastSquares import double_module
from mrpro_lambda.operators.RayTransformOp import RayTransformOp

_LARGEST = 60.0
r"""Largest :math:`\mu y`: a count of 0.1 of :math:`10^{25}` photons."""
_NEWTON_STEPS = 6
"""Steps to double precision: the fifth has 1e-10 where the convergence is slowest."""


class PoissonCounts(DataTerm):
    r"""Negative log-likelihood of counts that are Poisson distributed, of a transmission scan, for :math:`x \ge 0`.

    A ray :math:`i` with :math:`N_0` photons is attenuated to :math:`N_0 \exp(-\mu (A x)_i)` of them. The data are
    post-log, :math:`y_i = -\ln(n_i / N_0) / \mu` for :math:`n_i` counts, see `from_counts`. Up to a constant, which
    makes it 0 where :math:`A x = y`,

    .. math::

        f(x) = \sum_i N_0 e^{-\mu (A x)_i} + N_0 \mu e^{-\mu y_i} (A x)_i, \qquad
        \nabla f(x) = \mu N_0 A^T (e^{-\mu y} - e^{-\mu A x})

    For :math:`A x \ge 0` the gradient is Lipschitz continuous with :math:`\mu^2 N_0 \|A\|^2`. Images are real. To
    second order a ray has the weight :math:`\mu^2 n_i`: a ray with few photons counts little, and one without, whose
    count is taken to be 0.1, next to nothing. The model is that of TV-Lambda for computed tomography [KOF2023]_; the
    default numbers are those of the LoDoPaB-CT data [LEU2021]_.

    References
    ----------
    .. [KOF2023] Kofler A, et al. (2023) SIAM J Imaging Sci 16(4) https://doi.org/10.1137/23M1552486
    .. [LEU2021] Leuschner J, Schmidt M, Baguer DO, Maass P (2021) LoDoPaB-CT, a benchmark dataset for low-dose computed
       tomography reconstruction. Sci Data 8 https://doi.org/10.1038/s41597-021-00893-z
    """

    non_negative = True

    def __init__(
        self,
        acquisition_op: LinearOperator,
        *,
        n_photons: float | torch.Tensor = 4096.0,
        attenuation: float = 81.35858,
    ) -> None:
        r"""Initialize the data term.

        Parameters
        ----------
        acquisition_op
            Acquisition operator, from images to line integrals, with non-negative numbers.
        n_photons
            Number of photons :math:`N_0` of a ray before the object, or one for each image, shape
            `(*other, 1, 1, 1, 1)`.
        attenuation
            Attenuation :math:`\mu` per unit of length that an image value of 1 stands for; 1 if the image is the
            attenuation itself. The unit of length is that of the operator.
        """
        check_type('acquisition_op', acquisition_op, LinearOperator)
        if isinstance(n_photons, torch.Tensor) and n_photons.ndim:
            check_tensor('n_photons', n_photons)
            if n_photons.is_complex() or not bool((n_photons > 0).all()) or n_photons.shape[-4:].numel() > 1:
                raise ValueError(
                    'n_photons must be positive, a number or one for each image of shape (*other, 1, 1, 1, 1), got '
                    f'{n_photons.dtype}, shape {tuple(n_photons.shape)}, smallest {n_photons.abs().min().item():g}.'
                )
        else:
            check_number('n_photons', n_photons, positive=True)
            n_photons = float(n_photons)
        check_number('attenuation', attenuation, positive=True)
        self.acquisition_op = acquisition_op
        self.n_photons = n_photons
        self.attenuation = float(attenuation)
        self._norms: dict[tuple, torch.Tensor] = {}

    def from_counts(self, counts: torch.Tensor, *, smallest: float = 0.1) -> torch.Tensor:
        r"""Return the post-log data :math:`y = -\ln(n / N_0) / \mu` of counts.

        Parameters
        ----------
        counts
            Counts, shape of the data.
        smallest
            What a count of zero is taken to be, as its logarithm does not exist.

        Returns
        -------
            Data, float32 unless the counts are of double precision.

        Raises
        ------
        ValueError
            If counts are negative, not finite, or complex.
        """
        check_number('smallest', smallest, positive=True)
        if isinstance(counts, torch.Tensor) and not (counts.is_floating_point() or counts.is_complex()):
            counts = counts.to(torch.float32)
        check_tensor('counts', counts)
        if counts.is_complex() or bool((counts < 0).any()):
            n_negative = 'complex numbers' if counts.is_complex() else f'{int((counts < 0).sum())} negative ones'
            raise ValueError(f'Counts must be real and not negative, got {n_negative} in shape {tuple(counts.shape)}.')
        n_zero = int((counts == 0).sum())
        if n_zero:
            warnings.warn(
                f'{n_zero} of {counts.numel()} counts are zero: no photon came through. Their logarithm does not '
                f'exist, and they are taken to be {smallest:g}; such rays say little about the image.',
                UserWarning,
                stacklevel=2,
            )
        return self.post_log(counts, smallest=smallest)

    def post_log(self, counts: torch.Tensor, *, smallest: float = 0.1) -> torch.Tensor:
        """Return the post-log data of counts without the checks of `from_counts`."""
        return -(counts.clamp_min(smallest) / self.n_photons).log() / self.attenuation

    def with_photons(self, factor: float) -> PoissonCounts:
        """Return the data term of a scan with more or fewer photons.

        Parameters
        ----------
        factor
            What the number of photons is multiplied with.
        """
        term = copy.copy(self)
        term.__dict__.pop('double', None)
        term.n_photons = factor * self.n_photons
        return term

    def draw(self, img: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Draw the counts of an image.

        Parameters
        ----------
        img
            Image.
        generator
            Random number generator, on the device of the image.
        """
        (response,) = self.acquisition_op(img)
        return torch.poisson(self.n_photons * (-self.attenuation * response).exp(), generator=generator)

    def check_data(self, data: torch.Tensor) -> None:
        """Raise an error unless the data are real and post-log."""
        if data.is_complex():
            raise ValueError(f'Counts of photons are real, got data of {data.dtype}, shape {tuple(data.shape)}.')
        low, high = (self.attenuation * x.item() for x in data.detach().aminmax())
        if not (low > -_LARGEST and high < _LARGEST):  # NaN too
            raise ValueError(
                f'data must be post-log, with attenuation * data from -{_LARGEST:g} to {_LARGEST:g}, got values from '
                f'{low:g} to {high:g} in shape {tuple(data.shape)}: use PoissonCounts.from_counts for counts.'
            )

    def counts(self, data: torch.Tensor) -> torch.Tensor:
        """Return the counts that post-log data stand for."""
        return self.n_photons * (-self.attenuation * data).exp()

    def rhs(self, data: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`-\mu N_0 A^T e^{-\mu y}`."""
        return self.acquisition_op.adjoint(-self.attenuation * self.counts(data))[0]

    def gradient(self, img: torch.Tensor, rhs: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`-\mu N_0 A^T e^{-\mu A x} - b`."""
        (response,) = self.acquisition_op(img)
        return self.acquisition_op.adjoint(-self.attenuation * self.counts(response))[0] - rhs

    def curvature(self, img: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`\mu^2 N_0 A^T (e^{-\mu A x} \cdot A d)`."""
        (response,), (change,) = self.acquisition_op(img), self.acquisition_op(direction)
        return self.acquisition_op.adjoint(self.attenuation**2 * self.counts(response) * change)[0]

    def lipschitz(self, img: torch.Tensor, coupled_dim: tuple[int, ...] = ()) -> torch.Tensor:
        r"""Return :math:`\mu^2 N_0 \|A\|^2`, proven for a `~mrpro_lambda.operators.RayTransformOp`."""
        n_photons = self.n_photons
        if isinstance(n_photons, torch.Tensor):
            coupled = tuple(d for d in coupled_dim if -n_photons.ndim <= d)
            n_photons = n_photons.double().amax(coupled, keepdim=True) if coupled else n_photons.double()
        return self.attenuation**2 * n_photons * self.norm(img, coupled_dim)

    def weight_unit(self, data: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`\mu^2 \bar n \|A\|^2` with the mean count of the rays through the object, for each image.

        To second order the term is :math:`\frac{1}{2} \sum_i \mu^2 n_i (A x - y)_i^2`. The mean has the weights
        :math:`y`, so that it does not depend on how many rays pass the object by.
        """
        self.check_data(data)
        curvature = self.sample_curvature(data)
        return curvature * self.norm(img).to(curvature.dtype)

    def noise_std(self, data: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
        """Return the noise of the counts in units of the image, one over the root of the unit of weights."""
        return self.weight_unit(data, img).rsqrt()

    def norm(self, img: torch.Tensor, coupled_dim: tuple[int, ...] = ()) -> torch.Tensor:
        r"""Return an upper bound of :math:`\|A\|^2`."""
        if isinstance(self.acquisition_op, RayTransformOp):
            bound = torch.tensor(self.acquisition_op.norm_squared_bound, dtype=torch.float64, device=img.device)
            return bound.reshape((1,) * img.ndim)
        key = (tuple(img.shape), img.dtype, img.device, coupled_dim)
        if key not in self._norms:
            self._norms[key] = gram_norm(self.acquisition_op.gram, img, coupled_dim=coupled_dim)
        return self._norms[key]

    def value(self, response: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`N_0 e^{-\mu y} (e^{-u} - 1 + u)` with :math:`u = \mu (A x - y)`."""
        difference = self.attenuation * (response - data)
        return self.counts(data) * ((-difference).expm1() + difference)

    def slope(self, response: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`\mu N_0 (e^{-\mu y} - e^{-\mu A x})`."""
        return -self.attenuation * self.counts(data) * (self.attenuation * (data - response)).expm1()

    def dual_value(self, response: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`N_0 e^{-\mu y} (e^{-u} (1 + \mu s) - 1 - \mu y)` with :math:`u = \mu (s - y)`.

        The formula suits all responses :math:`s`: a lower bound must not consist of rounding errors.
        """
        attenuated, measured = self.attenuation * response, self.attenuation * data
        difference = attenuated - measured
        far = (-difference).exp() * (1 + attenuated) - (1 + measured)
        near = (-difference).expm1() * (1 + attenuated) + difference
        return self.counts(data) * torch.where(difference.abs() > 1, far, near)

    def model_slope(self, response: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`-\mu N_0 e^{-\mu A x}`."""
        return -self.attenuation * self.counts(response)

    def response(self, model_slope: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`-\ln(-p / \mu N_0) / \mu`, at a slope that is not negative that of hardly any photon."""
        transmission = (-model_slope / (self.attenuation * self.n_photons)).clamp_min(math.exp(-_LARGEST))
        return -transmission.log() / self.attenuation

    def prox_conjugate(self, dual: torch.Tensor, step: torch.Tensor | float) -> torch.Tensor:
        r"""Return :math:`-\sigma w / \mu` where :math:`w + \ln w = \ln(\mu^2 N_0 / \sigma) - \mu v / \sigma`.

        The logarithm :math:`u` of :math:`w` is found by Newton's method for :math:`e^u + u`, which is convex: from
        above it falls to the root.
        """
        mu = self.attenuation
        scale = torch.as_tensor(step, dtype=dual.dtype, device=dual.device)
        with torch.no_grad():
            right = (mu**2 * self.n_photons / scale).log().to(dual.dtype) - mu * dual / scale
            u = torch.where(right > 1, right.clamp_min(1).log(), right)
            for _ in range(_NEWTON_STEPS):
                w = u.exp()
                u = u - (w + u - right) / (1 + w)
            found = -scale / mu * u.exp()
        if not (torch.is_grad_enabled() and dual.requires_grad):
            return found
        return found + self.prox_derivative(found, step) * (dual - dual.detach())

    def prox_derivative(self, projected: torch.Tensor, step: torch.Tensor | float) -> torch.Tensor:
        r"""Return :math:`h'' / (h'' + \sigma)` with :math:`h'' = -\mu p`."""
        return projected / (projected - step / self.attenuation)

    def sample_curvature(self, data: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`\mu^2 \bar n` with the mean count of the rays through the object, see `weight_unit`."""
        weight = data.detach().clamp_min(0) + torch.finfo(data.dtype).tiny
        axes = (-4, -3, -2, -1)
        mean = (weight * self.counts(data.detach())).sum(axes, keepdim=True) / weight.sum(axes, keepdim=True)
        return self.attenuation**2 * mean

    def circulant_bound(self, img: torch.Tensor, coupled_dim: tuple[int, ...]) -> CirculantBound:
        """Return a circulant upper bound of :math:`A^T A`, not of the curvature."""
        return circulant_bound(self.acquisition_op, self.acquisition_op.gram, img, coupled_dim)

    @property
    def coupled_dim(self) -> tuple[int, ...] | None:
        """Axes of a ray transform; `None` for an operator that is not known."""
        return (-2, -1) if isinstance(self.acquisition_op, RayTransformOp) else None

    def modulated(self, modulation: torch.Tensor) -> Self:
        """Raise an error, as images are real."""
        raise ValueError(
            f'Images of PoissonCounts are real, but the regularizer multiplies them with {modulation.dtype}, shape '
            f'{tuple(modulation.shape)}: use it without a phase.'
        )

    @cached_property
    def double(self) -> PoissonCounts:
        """The data term in double precision."""
        operator = double_module(self.acquisition_op)
        n_photons = self.n_photons.double() if isinstance(self.n_photons, torch.Tensor) else self.n_photons
        return PoissonCounts(operator, n_photons=n_photons, attenuation=self.attenuation)
