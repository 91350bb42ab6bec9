"""Random variations of magnitude images."""

import torch
from mrpro.utils import pad_or_crop


def augment_image(
    image: torch.Tensor,
    shape: tuple[int, int],
    generator: torch.Generator,
    *,
    zoom: tuple[float, float] = (0.8, 1.15),
) -> torch.Tensor:
    """Draw a random variation of a magnitude image, or of all frames of a series alike.

    A random window of the image is resampled to the given shape, so that structures are zoomed. It is flipped along
    each axis with probability 1/2, and transposed with probability 1/2 if the shape is square. Scaled to a maximum of
    1, it is raised to a power of 0.8 to 1.3 (gamma correction). Images that are smaller than the window are padded with
    zeros. A window without signal above a fifth of the maximum of the image is moved to the brightest pixel.

    Parameters
    ----------
    image
        Magnitude image, shape `(*frames, y, x)`.
    shape
        Size of the result `(y, x)`.
    generator
        Random number generator.
    zoom
        Smallest and largest factor that structures are zoomed by.

    Returns
    -------
        Magnitude image with maximum 1.
    """
    draws = torch.rand(7, generator=generator, dtype=torch.float64).tolist()
    position, gamma, *offsets, flip_y, flip_x, transpose = draws
    factor = zoom[0] + (zoom[1] - zoom[0]) * position
    window_shape = tuple(max(1, round(n / factor)) for n in shape)
    size = [max(n, w) for n, w in zip(image.shape[-2:], window_shape, strict=True)]
    image = pad_or_crop(image, size, dim=(-2, -1))
    start = [int(u * (n - w + 1)) for u, n, w in zip(offsets, size, window_shape, strict=True)]
    window = _window(image, start, window_shape)
    if window.max() < 0.2 * image.max():
        brightest = divmod(int(image.flatten(-2).argmax()) % (size[0] * size[1]), size[1])
        start = [min(max(b - w // 2, 0), n - w) for b, n, w in zip(brightest, size, window_shape, strict=True)]
        window = _window(image, start, window_shape)
    frames = window.reshape(-1, 1, *window.shape[-2:])
    frames = torch.nn.functional.interpolate(frames, size=shape, mode='bicubic', antialias=True)
    resized = frames.reshape(*image.shape[:-2], *shape)
    resized = resized.clamp_min(0)  # bicubic interpolation overshoots
    resized = (resized / resized.max()) ** (0.8 + 0.5 * gamma)
    flips = [dim for dim, u in ((-2, flip_y), (-1, flip_x)) if u < 0.5]
    resized = resized.flip(flips)
    return resized.mT if transpose < 0.5 and shape[0] == shape[1] else resized


def _window(image: torch.Tensor, start: list[int], shape: tuple[int, ...]) -> torch.Tensor:
    """Part of an image."""
    return image[..., start[0] : start[0] + shape[0], start[1] : start[1] + shape[1]]
