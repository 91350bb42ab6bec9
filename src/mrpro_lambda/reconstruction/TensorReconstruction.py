"""What the reconstructions of scans by models of tensors have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, Self

import torch
from mrpro.algorithms.reconstruction import DirectReconstruction
from mrpro.data import CsmData, DcfData, IData, KData, KNoise
from mrpro.operators import DensityCompensationOp, FourierOp, LinearOperator, SensitivityOp

from mrpro_lambda.checks import check_tensor, check_type
from mrpro_lambda.models.Model import Model
from mrpro_lambda.operators.acquisition_factors import sample_multiplicity, with_true_adjoint
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.gram_operator import gram_operator
from mrpro_lambda.reconstruction.check_inputs import (
    check_csm,
    check_kdata,
    check_noise,
    check_noise_std,
    check_refusal,
    of_the_acquisition,
)
from mrpro_lambda.reconstruction.estimate_noise_std import estimate_noise_std
from mrpro_lambda.reconstruction.estimate_noise_weight import estimate_noise_weight
from mrpro_lambda.reconstruction.prewhiten import prewhiten
from mrpro_lambda.solvers.Solver import Solution


class ScanSolution(Protocol):
    """Image of a scan with what led to it."""

    @property
    def idata(self) -> IData:
        """Image."""

    @property
    def initial_idata(self) -> IData:
        """Adjoint (zero-filled) reconstruction that the network saw."""

    @property
    def img(self) -> torch.Tensor:
        """Image, shape `(*other, coils, z, y, x)`."""

    @property
    def lambda_map(self) -> torch.Tensor | None:
        """Lambda map, shape `(n_maps, *image)`, `None` for models without."""

    @property
    def noise_std(self) -> float | None:
        """Standard deviation of the noise of a k-space sample, if the model used it."""

    @property
    def solution(self) -> Solution | None:
        """Result of the solver, with its certificate, `None` for models without."""

    @property
    def noise_weight(self) -> torch.Tensor | None:
        """Weights of the samples, see `estimate_noise_weight`, if the noise was whitened."""

    @property
    def weight_report(self) -> Mapping[str, Any] | None:
        """What a rule that chose the weight found."""


class ScanTensors(NamedTuple):
    """What a model is given of a scan."""

    kdata: KData
    """Prewhitened data with their header."""
    data: torch.Tensor
    """k-space data, with whitened background if that is asked for, shape `(*other, coils, k2, k1, k0)`."""
    acquisition_op: LinearOperator
    """Acquisition operator, with the same weights."""
    initial_image: torch.Tensor
    """Initial image, shape `(*other, coils, z, y, x)`."""
    noise_std: float | None
    """Standard deviation of the noise of a k-space sample, if the model uses it."""
    noise_weight: torch.Tensor | None
    """Weights of the samples, if the background was whitened."""
    initial: Callable[[torch.Tensor], torch.Tensor]
    """How the initial image comes from such data."""


class TensorReconstruction(DirectReconstruction):
    """From k-space data to the tensors of a model: operators, coil sensitivities, prewhitening, noise, initial image.

    The tensors are those that models see in their training. A subclass writes `solve`.
    """

    def __init__(
        self,
        kdata: KData | None = None,
        fourier_op: LinearOperator | None = None,
        csm: Callable[[IData], CsmData] | CsmData | SensitivityOp | None = CsmData.from_idata_walsh,
        noise: KNoise | None = None,
        dcf: DcfData | DensityCompensationOp | None = None,
        *,
        model: Model,
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
            Model, for example from `~mrpro_lambda.pretrained.load_weights`.
        noise_std
            Standard deviation of the complex noise of a k-space sample, for models that use it. If `None`, it is 1
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
            If neither `kdata` nor `fourier_op` is given, if `csm` is to be calculated without `kdata`, if the model can
            not reconstruct the acquisition of `kdata`, see `~mrpro_lambda.models.Model.refusal`, or if data, noise,
            coil sensitivities, density compensation or noise level are not finite or do not fit together.
        """
        check_type('model', model, Model)
        if csm is not None and not callable(csm) and not isinstance(csm, CsmData):
            raise TypeError(f'csm must be CsmData, a SensitivityOp, a function or None, got {type(csm).__name__}.')
        noise_std = check_noise_std(noise_std)
        own_fourier_op = fourier_op is not None
        if kdata is not None:
            check_kdata(kdata)
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
        # before sensitivities are calculated; the image of another operator is not known
        if kdata is not None and fourier_op is not None and not own_fourier_op:
            check_refusal(model, kdata, fourier_op, combined=csm is not None)
        super().__init__(kdata, fourier_op, csm, noise, dcf)
        check_csm(self.csm_op, kdata)
        self.model = model
        self.noise_std = noise_std
        self.whiten_background = whiten_background
        self.progress = progress

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

    @abstractmethod
    def solve(self, kdata: KData) -> ScanSolution:
        """Apply the reconstruction and return the image with what led to it.

        Parameters
        ----------
        kdata
            k-space data.

        Raises
        ------
        ValueError
            If the data hold NaN or Inf, or are all zero, if they are not those that the reconstruction was set up for,
            if the model can not reconstruct them, or if the noise can not be estimated from the background.
        """

    @torch.no_grad()
    def tensors(self, kdata: KData) -> ScanTensors:
        """Return what the model is given of k-space data, with the errors of `solve`.

        Parameters
        ----------
        kdata
            k-space data.
        """
        check_kdata(kdata)
        check_csm(self.csm_op, kdata)
        if self.noise is not None:
            kdata = prewhiten(kdata, self.noise)
        measured_op = acquisition_op = self.acquisition_op

        def start_of(values: torch.Tensor) -> torch.Tensor:
            """Return the initial image of data."""
            return measured_op.adjoint(values if self.dcf_op is None else self.dcf_op(values)[0])[0]

        with of_the_acquisition(kdata):
            initial_image = start_of(kdata.data)
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

        return ScanTensors(kdata, data, acquisition_op, initial_image, noise_std, noise_weight, initial)

    @property
    def acquisition_op(self) -> LinearOperator:
        """Acquisition operator, from images to data."""
        return self.fourier_op if self.csm_op is None else self.fourier_op @ self.csm_op

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
        return 1.0 if self.noise is not None else estimate_noise_std(kdata, self.acquisition_op)


def mean_multiplicity(count: torch.Tensor) -> float:
    """Return how often a point was sampled, so that means of as many samples have the same noise in the image.

    Parameters
    ----------
    count
        How often the point of each sample was sampled.
    """
    return ((1 / count).sum() / (1 / count).square().sum()).item()


def to_idata(img: torch.Tensor, kdata: KData) -> IData:
    """Create image data with the header of k-space data."""
    idata = IData.from_tensor_and_kheader(img, kdata.header)
    idata.data = img  # mrpro replaces axes along which values differ by less than 1e-6, in any unit, by one value
    return idata


def _checked(function: Callable[[IData], CsmData]) -> Callable[[IData], CsmData]:
    """Raise an error if a function of a user returns no coil sensitivities."""

    def checked(idata: IData) -> CsmData:
        csm = function(idata)
        check_type('The result of csm', csm, CsmData)
        return csm

    return checked


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
