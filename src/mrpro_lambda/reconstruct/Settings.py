"""How data are reconstructed."""

# annotations are evaluated here, as the fields are checked as they are annotated
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from mrpro_lambda.models.fields import Range, check_fields

Method = Literal['tv', 'tgv', 'cdl']
Whitening = Literal['auto', 'background', 'none']
Csm = Literal['espirit', 'inati', 'walsh', 'none']
Phase = Literal['auto', 'on', 'off']
Rule = Literal['sure', 'discrepancy', 'l-curve']
WeightUnit = Literal['noise', 'image']


@dataclass(frozen=True)
class Settings:
    """How data are reconstructed. What is `None` is chosen for the data.

    Raises
    ------
    ValueError
        If a value has another type or is out of its range, if there are both a model and a weight, or if there is a
        dictionary for a method that has none.
    """

    method: Method | None = None
    """Total variation, generalized variation or convolutional dictionary. `None`: that of the model, and total
    variation without one."""
    model: str | Path | None = None
    """Name of pretrained weights, or a file of weights. `None`: those that suit the scan, see `choose`, unless there
    is a weight."""
    weight: Annotated[float, Range(0)] | Rule | None = None
    """One weight in place of a network, in the unit of `weight_unit`, or the rule that finds it on the scan."""
    weight_unit: WeightUnit = 'noise'
    """Unit of a weight: multiples of the noise level, as `~mrpro_lambda.weighting.NoiseWeight`, or those of the image
    (of the data, after prewhitening), as a number in Python."""
    dictionary: str | Path | None = None
    """Name of a dictionary, or a file. `None`: that of the weights, or `k32-9x9-medium` with one weight."""
    noise_std: Annotated[float, Range(0, above=True)] | None = None
    """Standard deviation of the complex noise of a k-space sample, after prewhitening. `None`: 1 for prewhitened data,
    and otherwise estimated."""
    whitening: Whitening = 'auto'
    """Whether the phase encodings are weighted with the noise in the air at the ends of the readout. `'auto'`: if it
    can be measured, for Cartesian data that are fully sampled and have no noise measurement."""
    fit: bool = False
    """Fit the map to the scan itself, from the weights of `model` if one is named, see
    `~mrpro_lambda.weighting.FittedToScan`."""
    fit_time: Annotated[float, Range(0, above=True)] | None = None
    """Seconds after which the fit takes no further step. `None`: it takes as long as it takes."""
    csm: Csm | None = None
    """How coil maps are estimated, unless they are given; `'none'` reconstructs each coil on its own. `None`:
    `'espirit'`, or `'none'` for one coil."""
    compression: Annotated[float, Range(0, 1, above=True)] | None = None
    """Fraction of the energy that is kept by fewer, virtual coils. `None`: all coils."""
    phase: Phase = 'auto'
    """Whether real and imaginary part of the demodulated image are regularized apart, see
    `~mrpro_lambda.regularizers.PhaseAware`. `'auto'`: for an image or slices, but not for contrasts, cardiac phases,
    repetitions and sets, whose phases may differ. It is wrong where the phase is what is imaged."""
    upsample: Annotated[float, Range(1)] | None = None
    """Refinement of the grid of the image in the plane. `None`: that of the weights, if they raise the resolution."""
    device: Literal['cpu', 'cuda'] = 'cpu'
    """Where it is computed."""
    tolerance: Annotated[float, Range(0, above=True)] = 1e-2
    """Certified gap relative to the objective of each image at which the solver stops."""
    max_iterations: Annotated[int, Range(1)] = 1000
    """Largest number of iterations."""

    def __post_init__(self) -> None:
        """Check the settings."""
        check_fields(self)
        if self.model is not None and self.weight is not None:
            raise ValueError(f'Give either model or weight, got model={str(self.model)!r} and weight={self.weight!r}.')
        if self.fit and self.weight is not None:
            raise ValueError(f'Give either fit or weight, got weight={self.weight!r}.')
        if self.fit_time is not None and not self.fit:
            raise ValueError(f'fit_time needs fit, got fit_time={self.fit_time!r} without it.')
        if self.weight_unit != 'noise' and not isinstance(self.weight, int | float):
            raise ValueError(f'weight_unit={self.weight_unit!r} needs a number as weight, got {self.weight!r}.')
        if self.dictionary is not None and self.method != 'cdl' and (self.method is not None or self.model is None):
            raise ValueError(f"A dictionary needs the method 'cdl', got {self.method!r} and {str(self.dictionary)!r}.")
