"""The protocol of models."""

import torch
from mrpro.operators import IdentityOp, LinearOperator
from mrpro_lambda.models import Model


class Scaled(Model):
    """A model from elsewhere, which knows nothing but tensors."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor))
        self.layer = torch.nn.Linear(2, 2)

    def forward(
        self,
        data: torch.Tensor,
        acquisition_op: LinearOperator,
        initial_image: torch.Tensor,  # noqa: ARG002
        noise_std: torch.Tensor | float | None = None,
    ) -> torch.Tensor:
        return self.factor * acquisition_op.adjoint(data)[0] * (1 if noise_std is None else noise_std)


def test_solve_is_forward_without_gradient() -> None:
    model, data = Scaled(3.0), torch.ones(1, 1, 1, 2, 2)
    found = model.solve(data, IdentityOp(), data, 0.5)
    assert torch.equal(found.img, 1.5 * data)
    assert not found.img.requires_grad
    assert (found.lambda_map, found.solution, found.report) == (None, None, None)
    assert model(data, IdentityOp(), data).requires_grad
    assert not model.uses_noise_level


def test_numbers_are_the_parameters_without_axes() -> None:
    model = Scaled(3.0)
    assert [id(p) for p in model.numbers()] == [id(model.factor)]


def test_start_from_another_model() -> None:
    model = Scaled(3.0)
    model.start_from(Scaled(2.0))
    assert model.factor.item() == 2
