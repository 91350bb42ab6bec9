"""Theorems about all models that are networks, which are found by their descriptions."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from mrpro_lambda.models import NetworkModel
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.pretrained import load_weights_with_recipe, save_weights
from mrpro_lambda.recipes import NetworkRecipe, Recipe
from torch.func import functional_call

from tests.models.acquisitions import NAMES, Acquired, acquire

EXAMPLES = {
    f'{method}: {name}': recipe
    for method, found in Recipe.methods().items()
    if issubclass(found, NetworkRecipe)
    for name, recipe in found.examples().items()
}
all_examples = pytest.mark.parametrize('name', EXAMPLES)


def built(name: str, *, double: bool = False, inference: bool = True) -> NetworkModel:
    """The model of an example with parameters that are nothing special, in the mode of use."""
    model = EXAMPLES[name].build(3, inference=inference)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.double().eval() if double else model.eval()


def taken(model: NetworkModel, *, double: bool = False) -> list[tuple[str, Acquired]]:
    """The acquisitions that a model does not refuse."""
    all_of_them = [(name, acquire(name, double=double)) for name in NAMES]
    return [(name, given) for name, given in all_of_them if model.refusal(*given[:3]) is None]


def reconstruct(model: NetworkModel, given: Acquired) -> torch.Tensor:
    return model(*given[:4])


@all_examples
def test_image_has_the_shape_of_the_initial_one(name: str) -> None:
    """Of each acquisition that the model does not refuse, and there is one; for others the error is the reason."""
    model = built(name)
    assert taken(model)
    for kind in NAMES:
        given = acquire(kind)
        reason = model.refusal(*given[:3])
        if reason is None:
            with torch.no_grad():
                img = reconstruct(model, given)
            assert img.shape == given.initial_image.shape
            assert img.dtype == torch.complex64
            assert bool(img.isfinite().all())
        else:
            assert 'got' in reason
            with pytest.raises(ValueError, match='got') as raised:
                reconstruct(model, given)
            assert str(raised.value) == reason


@all_examples
def test_scale_equivariance(name: str) -> None:
    """The reconstruction of c y is c times that of y, also in the units of a scanner."""
    model = built(name, double=True)
    for _, given in taken(model, double=True):
        with torch.no_grad():
            expected, found = reconstruct(model, given), reconstruct(model, given.scaled(1e-6))
        torch.testing.assert_close(1e6 * found, expected, rtol=1e-8, atol=1e-9)


@all_examples
def test_images_of_a_batch_do_not_influence_each_other(name: str) -> None:
    """Another second image, or none, leaves the first as it is."""
    model = built(name, double=True)
    for kind, given in taken(model, double=True):
        other = acquire(kind, double=True, seed=1)
        first, second = given.acquisition_op, other.acquisition_op
        if not isinstance(first, CartesianAcquisitionOp) or not isinstance(second, CartesianAcquisitionOp):
            continue  # an operator of mrpro can not be put together from two
        csm = None if first.csm is None or second.csm is None else torch.stack([first.csm[0], second.csm[1]])
        op = CartesianAcquisitionOp(torch.stack([first.mask[0], second.mask[1]]), csm)
        data, img, level = (
            torch.stack([a[0], 3 * b[1]])
            for a, b in (
                (given.data, other.data),
                (given.initial_image, other.initial_image),
                (given.noise_std, other.noise_std),
            )
        )
        with torch.no_grad():
            expected, found = reconstruct(model, given)[0], model(data, op, img, level)[0]
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@all_examples
def test_gradient(name: str) -> None:
    """Along a random direction of all parameters and of the data it is the difference quotient."""
    model = built(name, double=True)
    generator = torch.Generator().manual_seed(5)
    parameters = dict(model.named_parameters())
    directions = {k: torch.randn(p.shape, generator=generator, dtype=torch.float64) for k, p in parameters.items()}
    used = set()
    for _, given in taken(model, double=True):
        # where the initial image explains the data already, conjugate gradients have nothing to do and no derivative
        given = given._replace(initial_image=0.9 * given.initial_image)
        weight = torch.randn(given.img.shape, generator=generator, dtype=torch.complex128)
        data_direction = given.data * torch.randn(given.data.shape, generator=generator, dtype=torch.complex128)

        def loss(t: float, data: torch.Tensor, given: Acquired = given, weight: torch.Tensor = weight) -> torch.Tensor:
            moved = {key: p + t * directions[key] for key, p in parameters.items()}
            return (weight.conj() * functional_call(model, moved, (data, *given[1:4]))).real.sum()

        data = given.data.clone().requires_grad_()
        inputs = [data, *parameters.values()]
        gradients = torch.autograd.grad(loss(0.0, data), inputs, allow_unused=True, materialize_grads=True)
        slope = sum(((g * d).sum() for g, d in zip(gradients[1:], directions.values(), strict=True)), torch.zeros(()))
        data_slope = (gradients[0].conj() * data_direction).real.sum()
        h = 1e-8  # few networks have a kink that close
        with torch.no_grad():
            quotient = (loss(h, given.data) - loss(-h, given.data)) / (2 * h)
            after, before = (loss(0.0, given.data + t * data_direction) for t in (h, -h))
        for found, expected in ((slope, quotient), (data_slope, (after - before) / (2 * h))):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        used |= {key for key, g in zip(parameters, gradients[1:], strict=True) if bool((g != 0).any())}
    assert used == set(parameters)


@all_examples
def test_weights_are_stored(name: str, tmp_path: Path) -> None:
    recipe, model = EXAMPLES[name], built(name)
    assert Recipe.from_dict(json.loads(json.dumps(dataclasses.asdict(recipe)))) == recipe
    save_weights(model, recipe, {'a': 'b'}, tmp_path / 'file')
    loaded, found = load_weights_with_recipe(tmp_path / 'file')
    assert found == recipe
    assert isinstance(loaded, NetworkModel)
    assert not loaded.training
    _, given = taken(loaded)[0]
    with torch.no_grad():
        assert torch.equal(reconstruct(loaded, given), reconstruct(model, given))


@all_examples
def test_initial_weights_depend_on_the_seed_only(name: str) -> None:
    before = torch.get_rng_state()
    first, second, other = (EXAMPLES[name].build(seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(torch.get_rng_state(), before)
    generator = torch.Generator().manual_seed(3)
    unused = generator.get_state()
    EXAMPLES[name].model(generator)
    is_random = not torch.equal(generator.get_state(), unused)
    assert any(not torch.equal(first[key], other[key]) for key in first) == is_random


@all_examples
def test_data_that_do_not_fit(name: str) -> None:
    model = built(name)
    _, given = taken(model)[0]
    with pytest.raises(ValueError, match='data must be finite'):
        model(given.data * float('nan'), *given[1:4])
    with pytest.raises(ValueError, match=r'must be finite and not be zero|got'):
        model(given.data, given.acquisition_op, 0 * given.initial_image, given.noise_std)
    with pytest.raises(TypeError, match='initial_image must be a tensor, got str'):
        model(given.data, given.acquisition_op, 'image', given.noise_std)
    if model.uses_noise_level:
        with pytest.raises(ValueError, match='noise level is needed'):
            model(*given[:3])
    with pytest.raises(ValueError, match=r'no dictionary, got filters of shape \(3, 3, 3\)'):
        EXAMPLES[name].build(filters=torch.ones(3, 3, 3))
    with pytest.raises(TypeError, match=r'trained must be a .*, got Identity'):
        EXAMPLES[name].build(trained=torch.nn.Identity())
