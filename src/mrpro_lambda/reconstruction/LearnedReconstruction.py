"""Reconstruction of k-space data with a trainable model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any, NamedTuple

import torch
from mrpro.data import CsmData, DcfData, IData, KData, KNoise
from mrpro.operators import DensityCompensationOp, LinearOperator, SensitivityOp

from mrpro_lambda.checks import check_type
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.operators.acquisition_factors import sample_multiplicity
from mrpro_lambda.reconstruction.check_inputs import check_kdata, check_series, check_weight, check_weight_shape
from mrpro_lambda.reconstruction.TensorReconstruction import TensorReconstruction, mean_multiplicity, to_idata
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

    @property
    def img(self) -> torch.Tensor:
        """Image, shape `(*other, coils, z, y, x)`."""
        return self.solution.img

    def __repr__(self) -> str:
        """Return a line without the values of the tensors."""
        shape = tuple(self.lambda_map.shape)
        return f'LearnedSolution(lambda_map of shape {shape}, noise_std={self.noise_std}, solution={self.solution})'


class LearnedReconstruction(TensorReconstruction):
    r"""Reconstruct with a convex solver and a network that chooses the regularization, or with a given weight.

    Solves :math:`\min_x \frac{1}{2} \|A x - y\|_2^2 + \|\Lambda_\theta(x_0) \cdot K x\|_1` with the acquisition model
    :math:`A` (Fourier transform, sampling and coil sensitivities), prewhitened data :math:`y` and the model's
    regularizer. A drop-in replacement of mrpro's reconstructions.

    With `whiten_background`, the data term is :math:`\frac{1}{2} \|W (A x - y)\|_2^2` with the weights :math:`W` of
    `estimate_noise_weight`. The network sees the same initial image :math:`x_0 = A^H y` as without.

    The data term has the factor 1/2. mrpro's `~mrpro.algorithms.reconstruction.TotalVariationRegularizedReconstruction`
    has not, contrary to its documentation: its weight is twice ours.
    """

    model: LambdaMapModel
    """Model."""
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
        weight = check_weight(regularization_weight)
        if (weight is None) == (model.weight is None):
            given = 'neither' if weight is None else 'both'
            raise ValueError(f'Give either regularization_weight or lambda_net, the network of the model, got {given}.')
        if isinstance(weight, Weight):
            model = LambdaMapModel(weight, model.solver, band_limit=model.band_limit)
        if kdata is not None:
            check_kdata(kdata)
            check_series(model.solver.regularizer, kdata.data.shape)
            if fourier_op is None:  # another one may have another image
                check_weight_shape(model.solver.regularizer, weight, kdata, combined=csm is not None)
        super().__init__(
            kdata,
            fourier_op,
            csm,
            noise,
            dcf,
            model=model,
            noise_std=noise_std,
            whiten_background=whiten_background,
            progress=progress,
        )
        self.regularization_weight = weight
        self.certificate = None
        self.weight_report = None

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
        measured = self.tensors(kdata)
        data, acquisition_op, initial_image = measured.data, measured.acquisition_op, measured.initial_image
        check_series(self.model.solver.regularizer, initial_image.shape)
        scan = Scan(data, acquisition_op, initial_image, measured.noise_std, self.model.solver, measured.initial)
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
            to_idata(solution.img, measured.kdata),
            to_idata(initial_image, measured.kdata),
            lambda_map,
            measured.noise_std,
            solution,
            measured.noise_weight,
            self.weight_report,
        )

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
        n = 1.0 if count is None else mean_multiplicity(count)
        noise_std = None if scan.noise_std is None else scan.noise_std / sqrt(n)
        choice = weight.choose(scan._replace(noise_std=noise_std))
        return choice._replace(lambda_map=n * choice.lambda_map)
