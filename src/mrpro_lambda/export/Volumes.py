"""Images in the order of their slices, with their places in the patient."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from mrpro.data import IHeader

from mrpro_lambda.checks import check_tensor

_SAME = 1e-2
"""Largest distance in mm of places that count as the same."""


@dataclass(frozen=True, eq=False)
class Volumes:
    """A series of volumes, in which all files agree: rows of a picture are along y, columns along x.

    Single slices are stacked in the order of their positions if there are equally many images of each. Otherwise each
    image of shape `(z, y, x)` is a volume of its own.
    """

    img: torch.Tensor
    """Values, shape `(n_volumes, n_slices, y, x)`, on the CPU."""
    index: np.ndarray
    """Number of the image that each slice is from, among all images in their order, shape `(n_volumes, n_slices)`."""
    corner: np.ndarray
    """Center of the pixel `(0, 0)` of each slice in mm along left, posterior and superior, shape
    `(n_volumes, n_slices, 3)`."""
    axes: np.ndarray
    """Steps in mm from a pixel to the next one along x and y, and along z by the thickness of the slice, shape
    `(n_volumes, n_slices, 3, 3)`: the last axis is left, posterior, superior."""

    @classmethod
    def of(cls, img: torch.Tensor, header: IHeader) -> Self:
        """Sort images by their header.

        The position of an image is that of the pixel `(n_z // 2, n_y // 2, n_x // 2)`. Slices that all have the same
        position are stacked in steps of their thickness.

        Parameters
        ----------
        img
            Real or complex image with one coil, shape `(*other, 1, z, y, x)`.
        header
            Header, on the CPU.

        Raises
        ------
        ValueError
            If there are several coils.

        Warns
        -----
        UserWarning
            If different slices have the same position.
        """
        check_tensor('img', img)
        if img.ndim < 4 or img.shape[-4] != 1:
            raise ValueError(f'img must have shape (*other, 1, z, y, x), got shape {tuple(img.shape)}.')
        other = img.shape[:-4]
        stack = img.detach().cpu().reshape(-1, *img.shape[-3:])
        n, n_z, n_y, n_x = stack.shape
        resolution = [1e3 * float(r) for r in (header.resolution.x, header.resolution.y, header.resolution.z)]
        center = 1e3 * torch.stack([per_image(p, other) for p in header.position.zyx[::-1]], -1).double().numpy()
        directions = header.orientation.as_directions()[::-1]
        steps = [torch.stack([per_image(c, other) for c in d.zyx[::-1]], -1).double().numpy() for d in directions]
        axes = np.stack([step * r for step, r in zip(steps, resolution, strict=True)], -2)
        corner = center - axes[:, 0] * (n_x // 2) - axes[:, 1] * (n_y // 2)

        _, label, counts = torch.unique(per_image(header.idx.slice, other), return_inverse=True, return_counts=True)
        if n_z > 1 or len(counts) == 1 or not bool((counts == counts[0]).all()):
            heights = np.arange(n_z) - n_z // 2
            corner = corner[:, None] + heights[:, None] * axes[:, None, 2]
            axes = np.broadcast_to(axes[:, None], (n, n_z, 3, 3))
            return cls(stack, np.arange(n)[:, None].repeat(n_z, 1), corner, axes)
        index = label.argsort(stable=True).reshape(len(counts), -1).T.numpy()
        index = index[:, np.argsort(center[index[0]] @ axes[index[0, 0], 2], kind='stable')]
        corner, axes = corner[index], axes[index]
        if np.linalg.norm(corner[0] - corner[0, 0], axis=-1).max() < _SAME and not _differ(axes):
            thickness = np.linalg.norm(axes[0, 0, 2])
            warnings.warn(
                f'All {len(counts)} slices have the same position: they are stacked in steps of {thickness:g} mm.',
                stacklevel=2,
            )
            corner = corner + np.arange(len(counts))[:, None] * axes[:, :, 2]
        return cls(stack[torch.from_numpy(index), 0], index, corner, axes)

    @property
    def step(self) -> np.ndarray:
        """Mean step in mm from a slice to the next one, shape `(3,)`; that by the thickness for a single slice."""
        corner = self.corner[0]
        return self.axes[0, 0, 2] if len(corner) == 1 else (corner[-1] - corner[0]) / (len(corner) - 1)

    def is_regular(self) -> bool:
        """Tell whether all slices are parallel and equally spaced, at the same places in all volumes."""
        expected = self.corner[0, 0] + np.arange(self.corner.shape[1])[:, None] * self.step
        return np.abs(self.corner - expected).max() < _SAME and not _differ(self.axes)

    def middle(self) -> torch.Tensor:
        """Return the middle slice of each volume, shape `(n_volumes, y, x)`."""
        return self.img[:, self.img.shape[1] // 2]

    def shown(self, img: torch.Tensor) -> torch.Tensor:
        """Return the middle slice of the middle volume of images with the same header, of their first coil.

        Parameters
        ----------
        img
            Images, shape `(*other, coils, z, y, x)`.

        Returns
        -------
            Slice, shape `(y, x)`.
        """
        volume, position = (n // 2 for n in self.index.shape)
        stack = img.select(-4, 0).reshape(-1, *img.shape[-3:])
        return stack[int(self.index[volume, position]), position if img.shape[-3] > 1 else 0]


def _differ(axes: np.ndarray) -> bool:
    """Tell whether the orientations of slices differ."""
    size = np.linalg.norm(axes[0, 0], axis=-1).max()
    return bool(np.abs(axes - axes[0, 0]).max() > 1e-3 * size)


def per_image(values: torch.Tensor, other: torch.Size) -> torch.Tensor:
    """Broadcast values of shape `(*other, 1, 1, 1, 1)` to one for each image."""
    return values.reshape(values.shape[:-4]).expand(other).flatten()
