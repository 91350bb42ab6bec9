"""What the data hold and the image does not explain, as an image."""

from __future__ import annotations

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_number, check_tensor, check_type
from mrpro_lambda.operators.acquisition_factors import with_true_adjoint


@torch.no_grad()
def residual_image(
    data: torch.Tensor, acquisition_op: LinearOperator, img: torch.Tensor, noise_std: float
) -> torch.Tensor:
    r"""Return the residual of the data as an image in units of its noise.

    .. math::

        r = \frac{A^H (y - A x)}{\sigma \, n}, \qquad n^2 = \frac{1}{N} \operatorname{tr} A^H A

    The factor :math:`\sigma n` is the root mean square of :math:`A^H e` for noise :math:`e` of the standard deviation
    :math:`\sigma` over the :math:`N` points of an image. So the residual of the true image is noise with the root mean
    square 1, wherever coils see the same. That of an image which fits the data is smaller, as the image follows the
    noise, and has no structure. Edges and texture in it are what the regularization took from the image: where they
    exceed 2 or 3, it took more than noise. Folds, ghosts and the outline of the object are errors of coil
    sensitivities, trajectory or motion, which no weight repairs. Its sign: it is what had to be added to the image.

    :math:`n` is measured with one vector of random numbers with a fixed seed, with a relative error of about
    :math:`1 / \sqrt{N}`.

    Parameters
    ----------
    data
        k-space data :math:`y`, shape `(*other, coils, k2, k1, k0)`.
    acquisition_op
        Acquisition operator :math:`A`, from images to data. Repeated Cartesian samples add up, see
        `~mrpro_lambda.operators.with_true_adjoint`.
    img
        Image :math:`x`, shape `(*other, coils, z, y, x)`.
    noise_std
        Standard deviation :math:`\sigma` of the complex noise of a k-space sample.

    Returns
    -------
        Residual image, complex, of the shape of the image.

    Raises
    ------
    ValueError
        If data and image do not fit together, are not finite, or if the noise level is not positive.
    """
    check_type('acquisition_op', acquisition_op, LinearOperator)
    check_tensor('data', data)
    check_tensor('img', img)
    check_number('noise_std', noise_std, positive=True)
    acquisition_op = with_true_adjoint(acquisition_op)
    (fitted,) = acquisition_op(img)
    if fitted.shape != data.shape:
        raise ValueError(
            f'The data of the image must have the shape of the data, got {tuple(fitted.shape)}, {tuple(data.shape)}.'
        )
    (residual,) = acquisition_op.adjoint(data - fitted)
    generator = torch.Generator().manual_seed(0)  # on the CPU, for the same numbers on each device
    noise = torch.randn(data.shape, dtype=data.dtype, generator=generator).to(data.device)
    (noise_image,) = acquisition_op.adjoint(noise)
    scale = noise_std * noise_image.abs().square().mean((-4, -3, -2, -1), keepdim=True).sqrt()
    return residual / torch.where(scale > 0, scale, 1)  # an image without data has none
