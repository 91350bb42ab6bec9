"""Selection of images from a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mrpro_lambda.models.fields import Range, check_fields


@dataclass(frozen=True)
class ImageSource:
    """Which images of a file to read, and in which size."""

    path: str | Path
    """File with the extension `.mat`, `.nii`, `.nii.gz`, `.npy` or `.npz`, see `read_images`."""

    axis: int | None = None
    """Axis of the array along which the images are stacked. `None` is the first axis of `.npy` and `.npz` and the last
    one of `.mat` and `.nii`. Volumes in `.nii` files are first brought to the axis order (right, anterior, superior),
    so that 0 is sagittal, 1 coronal and 2 axial."""

    slices: Sequence[int] | slice | None = None
    """Indices of images along the axis, or a slice of them. `None` is all."""

    ids: Sequence[str] | None = None
    """Selection of images of a `.npz` file by their ids. An id also selects all images whose ids continue it after a
    separator: `a-1` selects `a-1`, `a-1-x` and `a-1_x`, but not `a-10`. Excludes `slices`. `None` is all."""

    size: Annotated[int, Range(1, 8192)] | None = None
    """Number of pixels along the longer axis after resampling. The shorter axis is padded with zeros to the same
    number. `None` keeps the images as they are."""

    n_frames: Annotated[int, Range(2, 10_000)] | None = None
    """Number of frames, for files with series of images: as many of the selected images, one after the other, are one
    series, scaled to a common maximum. `None`: each image is one by itself."""

    min_tissue: Annotated[float, Range(0, 0.99)] = 0.0
    """Images are skipped if a smaller fraction of their pixels exceeds a tenth of the maximum of the volume. With 0, no
    image is skipped, and an image without signal is an error."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_fields(self)
        if self.slices is not None and self.ids is not None:
            raise ValueError(f'Either slices or ids must be given, not both, got {self.slices} and {self.ids}.')
        if self.ids is not None and not self.ids:
            raise ValueError(f'ids must be a sequence of at least one id, got {self.ids!r}.')
