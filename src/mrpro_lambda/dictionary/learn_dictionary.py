"""Online learning of convolutional dictionaries."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.dictionary.checkpoint import load_checkpoint, save_checkpoint
from mrpro_lambda.dictionary.sparse_codes import check_images, high_pass, objective_values, real_spectrum, sparse_codes
from mrpro_lambda.progress import Progress

_CHUNK = 2**24
"""Numbers of the cross-spectra that are computed at once."""


def learn_dictionary(
    images: Sequence[torch.Tensor],
    n_filters: int,
    filter_size: int | tuple[int, int],
    *,
    sparsity: float,
    beta: float = 4.0,
    n_steps: int = 300,
    batch_size: int = 4,
    crop: int | None = 64,
    n_iterations: int = 50,
    n_sweeps: int = 3,
    forgetting: float = 20.0,
    seed: int = 0,
    device: str | torch.device = 'cpu',
    progress: bool = True,
    checkpoint: str | Path | None = None,
    checkpoint_interval: int = 25,
    resume: bool = False,
) -> torch.Tensor:
    r"""Learn the filters of a sparse convolutional model of images.

    It minimizes over filters of unit norm the mean over the images of

    .. math::

        \min_s \frac{1}{2} \big\|\sum_k d_k \star s_k - x_{high}\big\|_2^2 + \alpha \|s\|_1

    where :math:`x_{high}` is what `~mrpro_lambda.operators.LowPassOp` leaves of an image. Each step codes a batch of
    random crops of the images, which are flipped and transposed at random, and then improves the filters for all crops
    so far: with fixed codes the objective is a quadratic function of the filters, known by the correlations of the
    codes up to the size of the filters. These are averaged over the steps, with a weight that forgets the first
    steps, which had worse filters [LIU2018]_ [MAI2010]_. The quadratic function is minimized by sweeps over the
    filters, each of which minimizes an upper bound of it on the sphere.

    Parameters
    ----------
    images
        Real images, each of shape `(y, x)`, scaled to a maximum of 1.
    n_filters
        Number of filters.
    filter_size
        Size of the filters in pixels, odd.
    sparsity
        Weight :math:`\alpha` of the sparsity.
    beta
        Strength of the low-pass filter.
    n_steps
        Number of steps.
    batch_size
        Number of crops in a step.
    crop
        Size of the crops in pixels, at most that of the smallest image. `None` is whole images, which must have the
        same, square, shape.
    n_iterations
        Iterations of the sparse coding.
    n_sweeps
        Sweeps over the filters in a step.
    forgetting
        Exponent :math:`p` of the weight :math:`(n / N)^p` of step `n` at step `N`.
    seed
        Seed of the initial filters and the crops.
    device
        Device to compute on.
    progress
        Show a progress bar with the objective per image, as the mean over the crops of a step.
    checkpoint
        File to keep the state in.
    checkpoint_interval
        Steps between two checkpoints.
    resume
        Go on from the checkpoint. The result is that of a run without interruption.

    Returns
    -------
        Filters in the convention of `~mrpro_lambda.operators.ConvolutionalDictionaryOp`, shape `(n_filters, ky, kx)`,
        those that are used most first.

    Raises
    ------
    ValueError
        If a parameter or an image is not valid, or if the checkpoint is missing, damaged, that of other parameters, or
        that of more steps.

    References
    ----------
    .. [LIU2018] Liu J, Garcia-Cardona C, Wohlberg B, Yin W (2018) First- and Second-Order Methods for Online
       Convolutional Dictionary Learning. SIAM J Imaging Sci 11(2) https://doi.org/10.1137/17M1145689
    .. [MAI2010] Mairal J, Bach F, Ponce J, Sapiro G (2010) Online Learning for Matrix Factorization and Sparse Coding.
       J Mach Learn Res 11 https://www.jmlr.org/papers/v11/mairal10a.html
    """
    size = (filter_size, filter_size) if isinstance(filter_size, int) else filter_size
    if not isinstance(size, tuple | list) or not all(isinstance(n, int) for n in size):
        raise TypeError(f'filter_size must be an integer or two, got {filter_size!r}.')
    for name, number in (('beta', beta), ('forgetting', forgetting)):
        check_number(name, number)
    check_number('sparsity', sparsity, positive=True)
    check_number('n_filters', n_filters, 1, 2**16, integer=True)
    check_number('seed', seed, 0, 2**63, integer=True)
    if crop is not None:
        check_number('crop', crop, 1, integer=True)
    smallest = check_images(images)
    crop_size = smallest if crop is None else crop
    _check_sizes(tuple(size), crop_size, smallest)
    if crop is None and any(image.shape != (smallest, smallest) for image in images):
        shapes = sorted({tuple(image.shape) for image in images})
        raise ValueError(f'images must have the same, square, shape if they are not cropped, got shapes {shapes}.')
    counts = {
        'n_steps': n_steps,
        'batch_size': batch_size,
        'n_iterations': n_iterations,
        'n_sweeps': n_sweeps,
        'checkpoint_interval': checkpoint_interval,
    }
    for name, count in counts.items():
        check_number(name, count, 1, 2**16 if name == 'batch_size' else math.inf, integer=True)
    path = None if checkpoint is None else Path(checkpoint)
    if resume and (path is None or not path.exists()):
        raise ValueError(f'There is no checkpoint to resume from: {path} does not exist.')

    details = high_pass([image.detach().float() for image in images], beta)
    # what the state depends on: a resumed run may have more steps, but nothing else may differ
    parameters = {
        'n_filters': n_filters,
        'filter_size': list(size),
        'sparsity': sparsity,
        'beta': beta,
        'batch_size': batch_size,
        'crop': crop_size,
        'n_iterations': n_iterations,
        'n_sweeps': n_sweeps,
        'forgetting': forgetting,
        'seed': seed,
        'n_images': len(images),
        'sum_of_images': sum(float(image.double().sum()) for image in images),
    }
    generator = torch.Generator().manual_seed(seed)
    if resume and path is not None:
        state = _State.load(path, parameters, generator)
        if state.step > n_steps:
            raise ValueError(f'n_steps must not be below the steps that are done, {state.step}, got {n_steps}.')
    else:
        state = _State.create(_patches(details, n_filters, size, generator))
    state = state.to(device)

    with Progress(n_steps, 'Dictionary', show=progress, start=state.step) as bar:
        while state.step < n_steps:
            crops = torch.stack([_random_crop(details, crop_size, generator) for _ in range(batch_size)]).to(device)
            codes = sparse_codes(state.filters, crops, sparsity, n_iterations)
            objective = objective_values(state.filters, crops, codes, sparsity).mean().item()
            state.update(crops, codes, forgetting)
            state.revive(crops, codes, generator)
            for _ in range(n_sweeps):
                state.sweep()
            bar.update(1, {'objective': f'{objective:.4f}'})
            if path is not None and (state.step % checkpoint_interval == 0 or state.step == n_steps):
                state.save(path, parameters, generator)
    return state.filters[state.usage.argsort(descending=True, stable=True)].cpu()


@dataclass
class _State:
    """Filters, and the averages over the steps that the surrogate is made of."""

    filters: torch.Tensor
    """Filters."""
    gram: torch.Tensor
    """Correlations of the codes with each other: Fourier transform, shape `(fy, fx // 2 + 1, n_filters, n_filters)`."""
    rhs: torch.Tensor
    """Correlations of the codes with the images within the support of the filters, shape `(n_filters, ky, kx)`."""
    usage: torch.Tensor
    """Sums of the magnitudes of the codes, shape `(n_filters,)`."""
    step: int = 0
    """Number of steps done."""

    @classmethod
    def create(cls, filters: torch.Tensor) -> _State:
        """Start with given filters."""
        n, ky, kx = filters.shape
        # a grid on which the lags of two filters do not wrap around
        gram = torch.zeros(2 * ky - 1, kx, n, n, dtype=torch.complex64)
        return cls(filters, gram, torch.zeros_like(filters), torch.zeros(n))

    def to(self, device: str | torch.device) -> _State:
        """Move to a device."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        moved: dict[str, Any] = {k: v.to(device) for k, v in values.items() if isinstance(v, torch.Tensor)}
        return dataclasses.replace(self, **moved)

    @property
    def grid(self) -> tuple[int, int]:
        """Size of the grid of the surrogate."""
        return self.gram.shape[0], 2 * self.gram.shape[1] - 1

    def update(self, images: torch.Tensor, codes: torch.Tensor, forgetting: float) -> None:
        """Add the correlations of codes to the averages."""
        self.step += 1
        weight = 1 - (1 - 1 / self.step) ** (forgetting + 1)
        shape, (ky, kx) = images.shape[1:], self.filters.shape[1:]
        spectrum = torch.fft.rfft2(codes)
        rhs = torch.fft.irfft2((spectrum * torch.fft.rfft2(images).conj()[:, None]).sum(0), s=shape)
        rhs = rhs.roll((ky // 2, kx // 2), (-2, -1))[:, :ky, :kx]
        self.rhs.lerp_(rhs / len(images), weight)
        self.usage.lerp_(codes.abs().sum((0, -2, -1)) / len(images), weight)

        spectrum = spectrum.movedim(1, 0)
        frequencies = spectrum.flatten(2).permute(2, 0, 1)
        size = max(1, _CHUNK // spectrum[0].numel() // len(spectrum) * len(images))
        for start in range(0, len(self.filters), size):
            rows = slice(start, start + size)
            cross = frequencies[:, rows].conj() @ frequencies.mT
            lags = torch.fft.irfft2(cross.movedim(0, -1).unflatten(-1, spectrum.shape[2:]), s=shape)
            lags = lags.roll((ky - 1, kx - 1), (-2, -1))[..., : 2 * ky - 1, : 2 * kx - 1]
            lags = lags.roll((1 - ky, 1 - kx), (-2, -1)) / len(images)
            # the gradient correlates with the lags, hence the conjugate
            self.gram[:, :, rows].lerp_(torch.fft.rfft2(lags).conj().permute(2, 3, 0, 1), weight)

    def sweep(self) -> None:
        """Minimize an upper bound of the surrogate for one filter after the other."""
        (ky, kx), grid = self.filters.shape[1:], self.grid
        spectrum = torch.fft.rfft2(self.filters, s=grid).permute(1, 2, 0).contiguous()
        bounds = self.gram.diagonal(dim1=-2, dim2=-1).abs().amax((0, 1))
        for k in range(len(self.filters)):
            if bounds[k] > 0:
                image = torch.fft.irfft2((self.gram[:, :, k] * spectrum).sum(-1), s=grid)[:ky, :kx]
                new = self.filters[k] + (self.rhs[k] - image) / bounds[k]
                self.filters[k] = new / new.norm()
                spectrum[:, :, k] = torch.fft.rfft2(self.filters[k], s=grid)

    def revive(self, images: torch.Tensor, codes: torch.Tensor, generator: torch.Generator) -> None:
        """Replace filters that are hardly used by what the others explain worst."""
        dead = (self.usage < _DEAD * self.usage.mean()).nonzero()[:, 0]
        if not len(dead):
            return
        ky, kx = self.filters.shape[1:]
        synthesis = torch.einsum('nkyx,kyx->nyx', torch.fft.rfft2(codes), real_spectrum(self.filters, images))
        residual = images - torch.fft.irfft2(synthesis, s=images.shape[1:])
        patches = _patches(list(residual.cpu()), len(dead), (ky, kx), generator)
        self.filters[dead] = patches.to(self.filters)
        self.gram[:, :, dead] = 0
        self.gram[:, :, :, dead] = 0
        self.rhs[dead] = 0
        self.usage[dead] = self.usage.mean()

    def save(self, path: Path, parameters: dict[str, Any], generator: torch.Generator) -> None:
        """Write a checkpoint."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        save_checkpoint({'state': values, 'parameters': parameters, 'generator': generator.get_state()}, path)

    @classmethod
    def load(cls, path: Path, parameters: dict[str, Any], generator: torch.Generator) -> _State:
        """Read a checkpoint."""
        content = load_checkpoint(path, parameters)
        generator.set_state(content['generator'])
        return cls(**content['state'])


_DEAD = 1e-2
"""Usage of a filter, relative to the mean, below which it is replaced."""


def _random_crop(images: Sequence[torch.Tensor], size: int, generator: torch.Generator) -> torch.Tensor:
    """Draw a crop of a random image, flipped and transposed at random."""
    image = images[_draw(len(images), generator)]
    top, left = (_draw(n - size + 1, generator) for n in image.shape)
    crop = image[top : top + size, left : left + size]
    axes = [axis for axis in (-2, -1) if _draw(2, generator)]
    crop = crop.flip(axes)
    return crop.mT if _draw(2, generator) else crop


def _patches(
    images: Sequence[torch.Tensor], n_patches: int, size: tuple[int, int], generator: torch.Generator
) -> torch.Tensor:
    """Draw patches of unit norm: of several candidates that with the largest norm.

    They fade out towards the border: edges that end there would stay, and shifts of a filter would not fit.
    """
    windows = [torch.hann_window(n + 2, periodic=False)[1:-1] for n in size]
    window = windows[0][:, None] * windows[1]
    patches = []
    for _ in range(n_patches):
        candidates = []
        for _ in range(_CANDIDATES):
            image = images[_draw(len(images), generator)]
            top, left = (_draw(n - k + 1, generator) for n, k in zip(image.shape, size, strict=True))
            candidates.append(window * image[top : top + size[0], left : left + size[1]])
        patch = max(candidates, key=lambda candidate: candidate.norm().item())
        # noise, so that no patch is zero and no two are equal
        patch = patch + 1e-3 * window * torch.randn(size, generator=generator)
        patches.append(patch / patch.norm())
    return torch.stack(patches)


_CANDIDATES = 10


def _draw(n: int, generator: torch.Generator) -> int:
    """Draw a number below `n`."""
    return int(torch.randint(n, (1,), generator=generator))


def _check_sizes(size: tuple[int, ...], crop: int, smallest: int) -> None:
    """Check the size of the filters."""
    if len(size) != 2 or any(n < 1 or n % 2 == 0 for n in size):
        raise ValueError(f'filter_size must be odd, got {size}.')
    if max(size) > crop or crop > smallest:
        raise ValueError(
            f'Filters must not be larger than the crops, and these not larger than the smallest image, got {size} for '
            f'filters, {crop} for crops and {smallest} for the smallest image.'
        )
