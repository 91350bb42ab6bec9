"""Theorems about linear operators and distances between images, as assertions for the tests."""

import torch
from mrpro.operators import LinearOperator


def relative_image_difference(img: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    r"""Relative distance :math:`\|x - x_{ref}\|_2 / \|x_{ref}\|_2` of an image to a reference image."""
    assert img.shape == reference.shape, f'shapes differ: got {tuple(img.shape)} and {tuple(reference.shape)}'
    norm = torch.linalg.vector_norm(reference)
    assert norm > 0, 'the reference image is zero everywhere'
    return torch.linalg.vector_norm(img - reference) / norm


def dotproduct_adjointness_test(
    operator: LinearOperator,
    u: torch.Tensor,
    v: torch.Tensor,
    relative_tolerance: float = 1e-3,
    absolute_tolerance: float = 1e-5,
) -> None:
    r"""Assert :math:`\langle A u, v \rangle = \langle u, A^H v \rangle` and that the shapes agree.

    The equation holds for all `u` and `v`; random ones find an error with probability one. In `float32` the inner
    products of large tensors are only as exact as their cancellation permits, so prefer `float64`.

    Parameters
    ----------
    operator
        the operator :math:`A`
    u
        element of the domain of the operator
    v
        element of the range of the operator
    relative_tolerance
        tolerance relative to the inner product in the domain
    absolute_tolerance
        absolute tolerance of the difference of the inner products
    """
    (forward_u,) = operator(u)
    (adjoint_v,) = operator.adjoint(v)
    assert forward_u.shape == v.shape, f'A(u) has shape {tuple(forward_u.shape)}, v has shape {tuple(v.shape)}'
    assert adjoint_v.shape == u.shape, f'A^H(v) has shape {tuple(adjoint_v.shape)}, u has shape {tuple(u.shape)}'
    in_range = (forward_u.conj() * v).sum()
    in_domain = (u.conj() * adjoint_v).sum()
    torch.testing.assert_close(in_range, in_domain, rtol=relative_tolerance, atol=absolute_tolerance)


def gradient_of_linear_operator_test(
    operator: LinearOperator,
    u: torch.Tensor,
    v: torch.Tensor,
    relative_tolerance: float = 1e-3,
    absolute_tolerance: float = 1e-5,
) -> None:
    """Assert that back-propagation through the operator is its adjoint, and through the adjoint is the operator.

    Parameters
    ----------
    operator
        the operator
    u
        element of the domain of the operator
    v
        element of the range of the operator
    relative_tolerance
        tolerance relative to the entries of the expected gradient
    absolute_tolerance
        absolute tolerance of the entries
    """
    u, v = u.detach().requires_grad_(), v.detach().requires_grad_()
    (forward_u,) = operator(u)
    (adjoint_v,) = operator.adjoint(v)
    (gradient_u,) = torch.autograd.grad(forward_u, u, grad_outputs=v.detach(), retain_graph=True)
    (gradient_v,) = torch.autograd.grad(adjoint_v, v, grad_outputs=u.detach(), retain_graph=True)
    torch.testing.assert_close(gradient_u, adjoint_v.detach(), rtol=relative_tolerance, atol=absolute_tolerance)
    torch.testing.assert_close(gradient_v, forward_u.detach(), rtol=relative_tolerance, atol=absolute_tolerance)
