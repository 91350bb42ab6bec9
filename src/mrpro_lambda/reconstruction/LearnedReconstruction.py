"""Reconstruction of k-space data with a trainable model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any, NamedTuple, Self

import torch
from mrpro.algorithms.reconstruction import DirectReconstruction
from mrpro.data import CsmData, DcfData, IData, KData, KNoise
from mrpro.operators import DensityCompensationOp, FourierOp, LinearOperator, SensitivityOp

from mrpro_lambda.checks import check_tensor, check_type
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.operators.acquisition_factors import sample_multiplicity, with_true_adjoint
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.gram_operator import gram_operator
from mrpro_lambda.reconstruction.check_inputs import (
    check_csm,
    check_kdata,
    check_noise,
    check_noise_std,
    check_series,
    check_weight,
    check_weight_shape,
)
from mrpro_lambda.reconstruction.estimate_noise_std import estimate_noise_std
from mrpro_lambda.reconstruction.estimate_noise_weight import estimate_noise_weight
from mrpro_lambda.reconstruction.prewhiten import prewhiten
from mrpro_lambda.reconstruction.warn_of_tolerance import warn_of_tolerance
from mrpro_lambda.solvers.Solver import Solution
from mrpro_lambda.weighting.Scan import Scan
from mrpro_lambda.weighting.Weight import Weight, WeightChoice


class LearnedSolution(NamedTuple):
    """Image of a reconstruction with what led to it."""

    idata: IData
    """Image."""
    initial_idata: IData
    """Adjoint (zero-filled) reconstruction that the network saw."""
    lambda_map: torch.Tensor
    """Lambda map, shape `(n_maps, *image)`."""
    noise_std: float | None
    """Standard deviation of the noise of a k-space sample, if the model used it."""
    solution: Solution
    """Result of the solver, with its certificate."""
    noise_weight: torch.Tensor | None = None
    """Weights of the samples, see `~mrpro_lambda.reconstruction.estimate_noise_weight`, if the noise was whitened."""
    weight_report: Mapping[str, Any] | None = None
    """What a rule that chose the weight found, see `~mrpro_lambda.weighting.AutomaticWeight`."""

    def __repr__(self) -> str:
        """Return a line without the values of the tensors."""
        shape = tuple(self.lambda_map.shape)
        return f'LearnedSolution(lambda_map of shape {shape}, noise_std={self.noise_std}, solution={self.solution})'


class LearnedReconstruction(DirectReconstruction):
    r"""Reconstruct with a convex solver and a network that chooses the regularization, or with a given weight.

    Solves :math:`\min_x \frac{1}{2} \|A x - y\|_2^2 + \|\Lambda_\theta(x_0) \cdot K x\|_1` with the acquisition model
    :math:`A` (Fourier transform, sampling and coil sensitivities), prewhitened data :math:`y` and the model's
    regularizer. A drop-in replacement of mrpro's reconstructions.

    With `whiten_background`, the data term is :math:`\frac{1}{2} \|W (A x - y)\|_2^2` with the weights :math:`W` of
    `estimate_noise_weight`. The network sees the same initial image :math:`x_0 = A^H y` as without.

    The data term has the factor 1/2. mrpro's `~mrpro.algorithms.reconstruction.TotalVariationRegularizedReconstruction`
    has not, contrary to its documentation: its weight is twice ours.
    """

    certificate: Solution | None
    """Result of the solver in the last call, with the shape of the image alone, on the meta device."""
    weight_report: Mapping[str, Any] | None
    """What a rule that chose the weight found in the last call, `None` for other weights."""

    def __init__(
        self,
        kdata: KData | None = None,
        fourier_op: LinearOperator | None = None,
        csm: Callable[[IData], CsmData] | CsmData | SensitivityOp | None = CsmData.from_idata_walsh,
        noise: KNoise | None = None,
        dcf: DcfData | DensityCompensationOp | None = None,
        *,
        model: LambdaMapModel,
        regularization_weight: float | Sequence[float] | torch.Tensor | Weight | None = None,
        noise_std: float | None = None,
        whiten_background: bool | torch.Tensor = False,
        progress: bool = False,
    ) -> None:
        """Initialize the reconstruction.

        Parameters
        ----------
        kdata
            Data that the Fourier operator, density compensation and coil sensitivities are set up from.
        fourier_op
            Fourier operator. If `None`, set up from `kdata`.
        csm
            Coil sensitivities, or how to calculate them from `kdata`. `None` reconstructs each coil on its own.
        noise
            Noise measurement for prewhitening, see `~mrpro_lambda.reconstruction.prewhiten`. `None`: no prewhitening.
        dcf
            Density compensation of the initial image and of the images that coil sensitivities are calculated from. If
            `None`, set up from `kdata` for non-Cartesian acquisitions; for Cartesian ones, it is the mean of repeated
            samples.
        model
            Model, for example from `~mrpro_lambda.pretrained.load_pretrained`.
        regularization_weight
            Weight for a model without a network: a number, one number for each map of the regularizer, or a map of
            shape `(n_maps, *other, 1, z, y, x)`, all in the units of the image. Or a `~mrpro_lambda.weighting.Weight`,
            for example multiples of the noise level, `~mrpro_lambda.weighting.NoiseWeight`, or a rule that finds the
            weight on the scan.
        noise_std
            Standard deviation of the complex noise of a k-space sample, for networks that use it. If `None`, it is 1
            for prewhitened data and otherwise estimated from the data, see `estimate_noise_std`.
        whiten_background
            Whiten noise that differs between the phase encodings, as it shows in the air of the data that are
            reconstructed, see `~mrpro_lambda.reconstruction.estimate_noise_weight`. Or weights of other data, such as
            those before the oversampling of the readout was removed.
        progress
            Show a progress bar.

        Raises
        ------
        ValueError
            If neither `kdata` nor `fourier_op` is given, if `csm` is to be calculated without `kdata`, if not exactly
            one of `regularization_weight` and a network is given, or if data, noise, weight, coil sensitivities,
            density compensation or noise level are not finite or do not fit together.
        """
        check_type('model', model, LambdaMapModel)
        if csm is not None and not callable(csm) and not isinstance(csm, CsmData):
            raise TypeError(f'csm must be CsmData, a SensitivityOp, a function or None, got {type(csm).__name__}.')
        weight = check_weight(regularization_weight)
        if (weight is None) == (model.weight is None):
            given = 'neither' if weight is None else 'both'
            raise ValueError(f'Give either regularization_weight or lambda_net, the network of the model, got {given}.')
        if isinstance(weight, Weight):
            model = LambdaMapModel(weight, model.solver, band_limit=model.band_limit)
        noise_std = check_noise_std(noise_std)
        if kdata is not None:
            check_kdata(kdata)
            check_series(model.solver.regularizer, kdata.data.shape)
            if fourier_op is None:  # another one may have another image
                check_weight_shape(model.solver.regularizer, weight, kdata, combined=csm is not None)
            fourier_op = FourierOp.from_kdata(kdata) if fourier_op is None else fourier_op
            if dcf is None:
                dcf = _cartesian_dcf(fourier_op, kdata)
        if fourier_op is not None:
            fourier_op = with_true_adjoint(fourier_op)
        check_noise(noise, kdata)
        if isinstance(csm, CsmData | SensitivityOp):
            check_csm(csm.as_operator() if isinstance(csm, CsmData) else csm, kdata)
        elif csm is not None:
            csm = _checked(csm)
        if isinstance(dcf, DcfData):
            check_tensor('dcf', dcf.data)
        super().__init__(kdata, fourier_op, csm, noise, dcf)
        check_csm(self.csm_op, kdata)
        self.model = model
        self.regularization_weight = weight
        self.noise_std = noise_std
        self.whiten_background = whiten_background
        self.progress = progress
        self.certificate = None
        self.weight_report = None

    def forward(self, kdata: KData) -> IData:
        """Apply the reconstruction, with the errors and warnings of `solve`.

        Parameters
        ----------
        kdata
            k-space data.

        Returns
        -------
            Image.
        """
        return self.solve(kdata).idata

    @torch.no_grad()
    def solve(self, kdata: KData) -> LearnedSolution:
        """Apply the reconstruction and return the image with the map, the noise level and the certificate.

        Parameters
        ----------
        kdata
            k-space data.

        Raises
        ------
        ValueError
            If the data hold NaN or Inf, or are all zero, if they are not those that the reconstruction was set up for,
            or if the noise can not be estimated from the background.

        Warns
        -----
        UserWarning
            If the solver has not reached its tolerance in its largest number of iterations.
        """
        check_kdata(kdata)
        check_csm(self.csm_op, kdata)
        if self.noise is not None:
            kdata = prewhiten(kdata, self.noise)
        acquisition_op = self.fourier_op if self.csm_op is None else self.fourier_op @ self.csm_op
        measured_op = acquisition_op

        def start_of(values: torch.Tensor) -> torch.Tensor:
            """Return the initial image of data."""
            return measured_op.adjoint(values if self.dcf_op is None else self.dcf_op(values)[0])[0]

        try:
            initial_image = start_of(kdata.data)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, IndexError) as error:  # those of mrpro do not tell the shapes
            raise ValueError(
                'The data must have the trajectory, coils and image that the reconstruction was set up for, got '
                f'shape {tuple(kdata.data.shape)}: {error}'
            ) from error
        check_series(self.model.solver.regularizer, initial_image.shape)
        noise_std = self._noise_std(kdata)
        data, noise_weight = kdata.data, None
        if isinstance(self.whiten_background, torch.Tensor):
            noise_weight = self.whiten_background
        elif self.whiten_background:
            noise_weight = estimate_noise_weight(kdata)
        if noise_weight is not None:
            data, acquisition_op = noise_weight * data, noise_weight * acquisition_op

        def initial(values: torch.Tensor) -> torch.Tensor:
            """Return the initial image of other data, such as those of the last line."""
            return start_of(values if noise_weight is None else values / noise_weight)

        scan = Scan(data, acquisition_op, initial_image, noise_std, self.model.solver, initial)
        lambda_map, self.weight_report = self._choose(scan)
        solution = self.model.solve(
            data, acquisition_op, initial_image, lambda_map=lambda_map, progress=self.progress
        ).solution
        if solution is None:  # a model with a Lambda map has one
            raise ValueError(f'The model must have a certificate, which {type(self.model).__name__} has not.')
        self.certificate = solution._replace(img=solution.img.to('meta'), coefficients=None)
        # `torch.no_grad` is in between
        warn_of_tolerance(solution, self.model.solver.tolerance, stacklevel=3)
        return LearnedSolution(
            _to_idata(solution.img, kdata),
            _to_idata(initial_image, kdata),
            lambda_map,
            noise_std,
            solution,
            noise_weight,
            self.weight_report,
        )

    def recalculate_fourierop(self, kdata: KData) -> Self:
        """Update (in place) the Fourier operator and the density compensation, e.g. for a new trajectory.

        Parameters
        ----------
        kdata
            k-space data to determine trajectory and matrix sizes from.
        """
        self.fourier_op = with_true_adjoint(FourierOp.from_kdata(kdata))
        dcf = _cartesian_dcf(self.fourier_op, kdata)
        self.dcf_op = (DcfData.from_traj_voronoi(kdata.traj) if dcf is None else dcf).as_operator()
        return self

    def _noise_std(self, kdata: KData) -> float | None:
        """Return the noise level if the model uses it."""
        if not self.model.uses_noise_level:
            return None
        if self.noise_std is not None:
            return self.noise_std
        return 1.0 if self.noise is not None else estimate_noise_std(kdata, self.fourier_op)

    def _choose(self, scan: Scan) -> WeightChoice:
        """Return the Lambda map of the weight that was given, of a rule, or of the network.

        Networks know samples that were acquired once. With `n` averages, the initial image has the noise of their mean
        and the data term is `n` times that of the mean.
        """
        if isinstance(self.regularization_weight, torch.Tensor):
            return WeightChoice(scan.solver.regularizer.lambda_map(self.regularization_weight, scan.initial_image))
        weight = self.model.weight
        if weight is None:
            raise ValueError('A model without a weight needs regularization_weight.')
        if weight.counts_samples:
            return weight.choose(scan)
        count = sample_multiplicity(self.fourier_op)
        n = 1.0 if count is None else ((1 / count).sum() / (1 / count).square().sum()).item()
        noise_std = None if scan.noise_std is None else scan.noise_std / sqrt(n)
        choice = weight.choose(scan._replace(noise_std=noise_std))
        return choice._replace(lambda_map=n * choice.lambda_map)


def _checked(function: Callable[[IData], CsmData]) -> Callable[[IData], CsmData]:
    """Raise an error if a function of a user returns no coil sensitivities."""

    def checked(idata: IData) -> CsmData:
        csm = function(idata)
        check_type('The result of csm', csm, CsmData)
        return csm

    return checked


def _to_idata(img: torch.Tensor, kdata: KData) -> IData:
    """Create image data with the header of k-space data."""
    idata = IData.from_tensor_and_kheader(img, kdata.header)
    idata.data = img  # mrpro replaces axes along which values differ by less than 1e-6, in any unit, by one value
    return idata


def _cartesian_dcf(fourier_op: LinearOperator, kdata: KData) -> DcfData | None:
    """Return the density compensation of a Cartesian acquisition, the mean of repeated samples; `None` for others.

    mrpro weighs the samples of an undersampled Cartesian acquisition with the areas around them. This amplifies the
    aliasing of the sparse ones in the images that coil sensitivities are estimated from, and in the initial image,
    which the networks know without weights.
    """
    if not isinstance(gram_operator(fourier_op), CirculantGramOp):
        return None
    count = sample_multiplicity(fourier_op)
    return DcfData(torch.ones(1, 1, 1, 1, 1, device=kdata.data.device) if count is None else 1 / count)
