"""Tests for the fastest exact Gram operator."""

import pytest
import torch
from mrpro.data import KTrajectory, SpatialDimension
from mrpro.operators import FastFourierOp, FourierOp, IdentityOp, LinearOperator, SensitivityOp
from mrpro.operators.CartesianSamplingOp import CartesianMaskingOp
from mrpro.utils import RandomGenerator
from mrpro_lambda.operators import (
    CartesianAcquisitionOp,
    CirculantGramOp,
    ToeplitzGramOp,
    acquisition_factors,
    gram_operator,
)
from mrpro_lambda.operators.acquisition_factors import RepeatedSamplingOp

N_FRAMES, N_COILS, N_Z, N_Y, N_X = 2, 3, 4, 6, 5
IMAGE_SHAPE = (N_FRAMES, 1, N_Z, N_Y, N_X)


def centered(n: int) -> torch.Tensor:
    return torch.arange(n).float() - n // 2


def fourier_op(y: torch.Tensor, z: torch.Tensor, encoding_y: int = N_Y, encoding_x: int = N_X) -> FourierOp:
    """Cartesian acquisition of the phase encodings `y` (frames, lines) and `z` (partitions) with full readout."""
    kx = centered(encoding_x).reshape(1, 1, 1, 1, -1)
    trajectory = KTrajectory(kz=z.reshape(1, 1, -1, 1, 1), ky=y.reshape(len(y), 1, 1, -1, 1), kx=kx)
    return FourierOp(SpatialDimension(N_Z, N_Y, N_X), SpatialDimension(N_Z, encoding_y, encoding_x), trajectory)


def full() -> FourierOp:
    return fourier_op(centered(N_Y)[None], centered(N_Z))


def full_in_random_order() -> FourierOp:
    return fourier_op(centered(N_Y)[RandomGenerator(0).randperm(N_Y)][None], centered(N_Z))


LINES = torch.tensor([[-3.0, 0.0, 1.0], [-1.0, 0.0, 2.0]])  # differ between the frames


def undersampled() -> FourierOp:
    """Without some lines and one partition."""
    return fourier_op(LINES, centered(N_Z)[1:])


def radial(*, stack: bool = False, n_x: int = N_X) -> FourierOp:
    """Three-dimensional radial spokes, or a stack of stars."""
    angle = torch.linspace(0, 3, 7).reshape(1, 1, 1, -1, 1)
    k0 = torch.linspace(-2.5, 2, 8)
    kz = centered(N_Z).reshape(1, 1, -1, 1, 1) if stack else 0.6 * angle.sin() * k0
    trajectory = KTrajectory(kz=kz, ky=angle.sin() * k0, kx=angle.cos() * k0)
    matrix = SpatialDimension(N_Z, N_Y, n_x)
    return FourierOp(matrix, matrix, trajectory)


def sensitivity_op() -> SensitivityOp:
    return SensitivityOp(RandomGenerator(1).complex64_tensor((N_FRAMES, N_COILS, N_Z, N_Y, N_X)))


def weight(*shape: int) -> torch.Tensor:
    """Complex weights of the samples."""
    return RandomGenerator(3).complex64_tensor(shape)


# operator, axes that still need a Fourier transform; None: not circulant
CASES = {
    'identity': (lambda: IdentityOp(), ()),
    'fft': (lambda: FastFourierOp((-2, -1)), ()),
    'fft with coils': (lambda: FastFourierOp((-2, -1)) @ sensitivity_op(), ()),
    'padded fft': (lambda: FastFourierOp((-2,), recon_matrix=(N_Y,), encoding_matrix=(N_Y + 3,)), ()),
    'cropped fft': (lambda: FastFourierOp((-2,), recon_matrix=(N_Y,), encoding_matrix=(N_Y - 2,)), ()),
    'full': (full, ()),
    'full in random order': (full_in_random_order, ()),
    'full with coils': (lambda: full() @ sensitivity_op(), ()),
    'undersampled': (undersampled, (-3, -2)),
    'undersampled with coils': (lambda: undersampled() @ sensitivity_op(), (-3, -2)),
    'coils only': (sensitivity_op, None),
    'larger field of view': (lambda: fourier_op(centered(N_Y + 3)[None], centered(N_Z), N_Y + 3), ()),
    'oversampled readout': (lambda: fourier_op(LINES, centered(N_Z), encoding_x=2 * N_X), (-2,)),
    'oversampled in two axes with coils': (
        lambda: fourier_op(LINES, centered(N_Z)[1:], N_Y + 3, 2 * N_X) @ sensitivity_op(),
        (-3, -2),
    ),
    'cropped k-space': (lambda: fourier_op(LINES[:, 1:] - 1, centered(N_Z), N_Y - 2), (-2,)),
    'radial': (radial, None),
    'radial with coils': (lambda: radial() @ sensitivity_op(), None),
    'stack of stars': (lambda: radial(stack=True), None),
    'multiple of an operator': (lambda: 2 * undersampled(), (-3, -2)),
    'multiple of a radial operator': (lambda: 2 * radial(), None),
    'weighted': (lambda: weight(N_Y, 1) * full(), (-2,)),
    'weighted with coils': (lambda: weight(N_FRAMES, 1, N_Z - 1, 3, 1) * (undersampled() @ sensitivity_op()), (-3, -2)),
    'weighted before coils': (lambda: (weight(3, 1) * undersampled()) @ sensitivity_op(), (-3, -2)),
    'each coil weighted': (lambda: weight(N_COILS, 1, 3, 1) * undersampled() @ sensitivity_op(), (-3, -2)),
    'weighted, oversampled readout': (
        lambda: weight(3, 1) * fourier_op(LINES, centered(N_Z), encoding_x=2 * N_X) @ sensitivity_op(),
        (-2,),
    ),
    'weighted radial': (lambda: weight(7, 8) * radial(), None),
    'sum of operators': (lambda: FastFourierOp((-1,)) + IdentityOp(), None),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[LinearOperator, tuple[int, ...] | None]:
    create, dim = CASES[request.param]
    return create(), dim


def test_equals_adjoint_of_forward(case: tuple[LinearOperator, tuple[int, ...] | None]) -> None:
    op, _ = case
    img = RandomGenerator(2).randn_tensor(IMAGE_SHAPE, torch.complex64)
    gram = gram_operator(op)
    (expected,) = op.adjoint(*op(img))
    (result,) = gram(img)
    assert result.shape == expected.shape
    assert torch.linalg.vector_norm(result - expected) <= 1e-5 * torch.linalg.vector_norm(expected)
    torch.testing.assert_close(gram.adjoint(img)[0], result)
    with torch.no_grad():  # coil by coil
        torch.testing.assert_close(gram(img)[0], result, rtol=1e-4, atol=1e-4)


def test_transforms_only_where_sampling_differs(case: tuple[LinearOperator, tuple[int, ...] | None]) -> None:
    """The readout is sampled fully, so its axis needs no Fourier transform."""
    op, dim = case
    gram = gram_operator(op)
    if dim is None:
        assert not isinstance(gram, CirculantGramOp)
        return
    assert isinstance(gram, CirculantGramOp)
    assert tuple(sorted(gram.dim)) == dim
    assert gram.transfer.shape[-1:] in ((), (1,))


def test_transfer_function_is_the_mask() -> None:
    """Frequencies in the order of the FFT: zero first."""
    gram = gram_operator(fourier_op(torch.tensor([[-3.0, 0.0, 1.0]]), centered(N_Z)))
    assert isinstance(gram, CirculantGramOp)
    assert gram.transfer.flatten().tolist() == [1, 1, 0, 1, 0, 0]


@pytest.mark.parametrize('n_x', [5, 6], ids=['odd', 'even'])
def test_toeplitz_convolution_of_radial_acquisition(n_x: int) -> None:
    """It is used for even sizes only: the kernel of mrpro 0.261015 is wrong for odd ones."""
    op = radial(n_x=n_x)
    gram = gram_operator(op)
    assert isinstance(gram, ToeplitzGramOp) == (n_x == 6)
    img = RandomGenerator(2).randn_tensor((*IMAGE_SHAPE[:-1], n_x), torch.complex64)
    torch.testing.assert_close(gram(img), op.adjoint(*op(img)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('dim', [(-1,), (-2,), (-3, -1), (-3, -2, -1)])
@pytest.mark.parametrize('n_coils', [0, N_COILS])
@pytest.mark.parametrize('gradient', [False, True])
def test_toeplitz_operator_is_a_convolution_on_twice_the_grid(
    dim: tuple[int, ...], n_coils: int, *, gradient: bool
) -> None:
    """Of any real transfer function, also where the image has odd sizes."""
    rng = RandomGenerator(0)
    kernel = rng.float64_tensor([2 * n if d - 5 in dim else 1 for d, n in enumerate(IMAGE_SHAPE)])
    csm = rng.randn_tensor((N_FRAMES, n_coils, *IMAGE_SHAPE[2:]), torch.complex128) if n_coils else None
    img = rng.randn_tensor(IMAGE_SHAPE, torch.complex128)
    coil_images = img if csm is None else csm * img
    sizes = [img.shape[d] for d in dim]
    spectrum = kernel * torch.fft.fftn(coil_images, s=[2 * n for n in sizes], dim=dim)
    expected = torch.fft.ifftn(spectrum, dim=dim)
    for d, n in zip(dim, sizes, strict=True):
        expected = expected.narrow(d, 0, n)
    if csm is not None:
        expected = (csm.conj() * expected).sum(-4, keepdim=True)
    gram = ToeplitzGramOp(kernel, dim, csm)
    with torch.set_grad_enabled(gradient):
        torch.testing.assert_close(gram(img)[0], expected)
        torch.testing.assert_close(gram.double()(img)[0], expected)


def test_own_acquisition() -> None:
    """For `CartesianAcquisitionOp` it is the operator's own one, also behind sensitivities."""
    mask = RandomGenerator(0).bool_tensor((N_Y, 1))
    img = RandomGenerator(2).randn_tensor(IMAGE_SHAPE, torch.complex64)
    inner = sensitivity_op()
    for op in (CartesianAcquisitionOp(mask, inner.csm_tensor), CartesianAcquisitionOp(mask) @ inner):
        gram = gram_operator(op)
        assert isinstance(gram, CirculantGramOp)
        assert gram.dim == (-2,)
        assert gram.csm is not None
        torch.testing.assert_close(gram(img), op.adjoint(*op(img)))


def test_squares_of_the_weights_are_the_transfer_function() -> None:
    """In double precision, at the frequencies of the FFT. A weight of 0 is a sample that is left out."""
    weights = torch.tensor([0.5, 0.0, 2.0], dtype=torch.float64).reshape(3, 1)
    op = weights * fourier_op(torch.tensor([[-3.0, 0.0, 1.0]]), centered(N_Z))
    gram = gram_operator(op)
    assert isinstance(gram, CirculantGramOp)
    assert gram.transfer.flatten().tolist() == [0, 4, 0, 0.25, 0, 0]
    img = RandomGenerator(2).randn_tensor(IMAGE_SHAPE, torch.complex128)
    torch.testing.assert_close(gram(img), op.adjoint(*op(img)))


def test_real_images_stay_real() -> None:
    img = RandomGenerator(0).float32_tensor(IMAGE_SHAPE)
    (result,) = gram_operator(IdentityOp())(img)
    torch.testing.assert_close(result, img)


def mask_op() -> CartesianMaskingOp:
    return CartesianMaskingOp(RandomGenerator(0).bool_tensor((N_Y, 1)))


def fft_op() -> FastFourierOp:
    return FastFourierOp((-2, -1))


def sampling_and_fft() -> LinearOperator:
    """The two factors of a `FourierOp`, composed by hand."""
    factors = acquisition_factors(undersampled())
    sampling_op = factors[0]
    assert isinstance(sampling_op, RepeatedSamplingOp)
    assert isinstance(factors[1], FastFourierOp)
    return sampling_op.sampling_op @ factors[1]


COMPOSITIONS = {
    'mask and FFT': lambda: mask_op() @ fft_op(),
    'with coils outside': lambda: (mask_op() @ fft_op()) @ sensitivity_op(),
    'with coils inside': lambda: mask_op() @ (fft_op() @ sensitivity_op()),
    'two masks': lambda: CartesianMaskingOp(torch.arange(N_Y)[:, None] > 1) @ mask_op() @ fft_op(),
    'sampling and FFT': sampling_and_fft,
    'sampling, FFT and coils': lambda: sampling_and_fft() @ sensitivity_op(),
    'own acquisition, weighted': lambda: (
        weight(N_Y, 1) * CartesianAcquisitionOp(torch.arange(N_Y)[:, None] % 3, sensitivity_op().csm_tensor)
    ),
    'weight before the mask': lambda: weight(N_Y, N_X) * (mask_op() @ fft_op() @ sensitivity_op()),
    'weight behind the mask': lambda: mask_op() @ (weight(N_Y, N_X) * fft_op()),
    'weight twice': lambda: weight(N_Y, 1) * (weight(N_Y, N_X) * (mask_op() @ fft_op()) @ sensitivity_op()),
    'number in front': lambda: (1 - 2j) * (mask_op() @ fft_op() @ sensitivity_op()),
    'number behind': lambda: (mask_op() @ fft_op() @ sensitivity_op()) * (1 - 2j),
    'number between': lambda: mask_op() @ ((fft_op() * 0.3j) @ (sensitivity_op() * torch.tensor(2.0))),
}


@pytest.mark.parametrize('name', COMPOSITIONS)
def test_cartesian_compositions_of_mrpro(name: str) -> None:
    """However they are nested, they have the fast Gram operator, and it is that of double precision."""
    op = COMPOSITIONS[name]()
    gram = gram_operator(op)
    assert isinstance(gram, CirculantGramOp)
    assert not gram.transfer.is_complex()
    img = RandomGenerator(2).randn_tensor(IMAGE_SHAPE, torch.complex128)
    (expected,) = op.adjoint(*op(img))
    torch.testing.assert_close(gram(img)[0], expected, rtol=1e-5, atol=1e-5)
    with torch.no_grad():  # coil by coil
        torch.testing.assert_close(gram(img)[0], expected, rtol=1e-5, atol=1e-5)


def test_transfer_function_is_the_squared_modulus_of_the_weight_times_the_mask() -> None:
    """A complex weight, whose square is neither real nor positive, at the frequencies of the FFT."""
    weights = torch.tensor([1j, 3 + 4j, -2, 1 - 1j], dtype=torch.complex128)[:, None]
    mask = torch.tensor([1, 1, 1, 0])[:, None]
    for op in (weights * (CartesianMaskingOp(mask) @ fft_op()), (weights * CartesianMaskingOp(mask)) @ fft_op()):
        gram = gram_operator(op)
        assert isinstance(gram, CirculantGramOp)
        assert not gram.transfer.is_complex()
        torch.testing.assert_close(gram.transfer.flatten(), torch.tensor([4.0, 0, 1, 25], dtype=torch.float64))


META = {
    'identity': lambda _: IdentityOp(),
    'number': lambda _: 3 * IdentityOp(),
    'fft': lambda _: fft_op(),
    'padded fft': lambda _: FastFourierOp((-2,), recon_matrix=(N_Y,), encoding_matrix=(N_Y + 3,)),
    'fft with coils': lambda device: fft_op() @ SensitivityOp(sensitivity_op().csm_tensor.to(device)),
    'number, fft and coils': lambda device: 2j * (fft_op() @ SensitivityOp(sensitivity_op().csm_tensor.to(device))),
    'full': lambda device: full().to(device) @ SensitivityOp(sensitivity_op().csm_tensor.to(device)),
}


@pytest.mark.parametrize('name', META)
def test_images_on_another_device(name: str) -> None:
    """The device `meta` stands for a GPU; it refuses tensors of the CPU, apart from numbers."""
    gram = gram_operator(META[name](torch.device('meta')))
    assert isinstance(gram, CirculantGramOp)
    img = torch.zeros(IMAGE_SHAPE, dtype=torch.complex64, device='meta')
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            assert gram(img)[0].device.type == 'meta'
    assert gram.norm_squared_bound().device.type == ('meta' if 'coils' in name or name == 'full' else 'cpu')
    assert all(tensor.device.type == 'meta' or tensor.ndim == 0 for tensor in gram.state_dict().values())
