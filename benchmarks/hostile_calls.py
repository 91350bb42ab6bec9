"""Calls of the public interface with valid arguments, for `hostile_inputs`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mrpro.data import AcqIdx, AcqInfo, CsmData, IHeader, KData, KHeader, KNoise, KTrajectory, SpatialDimension
from mrpro.operators import FourierOp
from mrpro_lambda import dictionary, interpretation, metrics, pretrained, solvers
from mrpro_lambda.functionals import WeightedTotalVariation
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.nets.inputs import ImageInput, NetworkInput, NoiseLevelInput, ResponsesInput
from mrpro_lambda.operators import (
    CartesianAcquisitionOp,
    CirculantGramOp,
    ConvolutionalDictionaryOp,
    GradientOp,
    LowPassOp,
)
from mrpro_lambda.recipes import DictionaryRecipe, MoDLRecipe, TotalVariationRecipe
from mrpro_lambda.reconstruction import (
    AdaptiveDictionaryReconstruction,
    AdaptiveTotalVariationReconstruction,
    LearnedReconstruction,
    ModelReconstruction,
    estimate_noise,
    estimate_noise_std,
    estimate_noise_weight,
    prewhiten,
)
from mrpro_lambda.regularizers import DictionarySparsity, TotalVariation

Arguments = dict[str, Any]
Call = tuple[Callable[..., Any], Arguments]
"""A function of the package and valid arguments."""

N_Y, N_X = 16, 14
_CARD = {'purpose': 'benchmark'}


def calls(precision: torch.dtype) -> dict[str, Call]:
    """Return the calls by name, with tensors of single or double precision. The arguments are new each time."""
    generator = torch.Generator().manual_seed(0)
    number = precision.to_complex()

    def normal(*shape: int, dtype: torch.dtype = number) -> torch.Tensor:
        double = torch.complex128 if dtype.is_complex else torch.float64
        return torch.randn(shape, generator=generator, dtype=double).to(dtype)

    img = normal(1, 1, 1, N_Y, N_X)
    img[..., 4:12, 4:10] += 3
    mask = (torch.rand(1, 1, 1, N_Y, N_X, generator=generator) < 0.7).to(precision)
    mask[..., N_Y // 2, N_X // 2] = 1
    csm = normal(1, 2, 1, N_Y, N_X)
    csm = csm / csm.abs().square().sum(1, keepdim=True).sqrt()
    op = CartesianAcquisitionOp(mask, csm)
    (data,) = op(img)
    (start,) = op.adjoint(data)
    filters = normal(3, 3, 3, dtype=precision)
    filters = filters / filters.flatten(1).norm(dim=1)[:, None, None]
    tv, sparsity = TotalVariation((-2, -1)), DictionarySparsity(filters)
    coefficients, differences = normal(3, 1, 1, 1, N_Y, N_X), normal(2, 1, 1, 1, N_Y, N_X)
    acquired: Arguments = {'data': data, 'acquisition_op': op, 'initial_image': start}
    maps = {n: torch.rand(n, 1, 1, 1, N_Y, N_X, generator=generator, dtype=torch.float64).to(precision) for n in (1, 3)}

    def network(n_channels: int, *inputs: NetworkInput) -> LambdaNet:
        return LambdaNet(UNet(2, n_channels, 1, 2, n_resolutions=2), inputs, padding=3).to(precision)

    fixed = {
        'ADMM': solvers.ADMM(tv, n_iterations=5),
        'PDHG': solvers.PDHG(tv, n_iterations=5),
        'FISTA': solvers.FISTA(sparsity, n_iterations=5),
        'ADMM of a dictionary': solvers.ADMM(sparsity, n_iterations=5),
    }
    model = LambdaMapModel(network(2, ImageInput()), fixed['ADMM'])
    model_of_dictionary = LambdaMapModel(None, fixed['ADMM of a dictionary'], band_limit=False)
    kdata, noise, csm_data, fourier_op = _scan(normal, precision)
    images = [normal(20, 18, dtype=precision).abs().clamp_max(1) for _ in range(2)]
    statistics = interpretation.filter_statistics(sparsity, coefficients)
    target = img + 0.1 * normal(*img.shape)
    weights = Path(tempfile.gettempdir()) / 'hostile_inputs.safetensors'
    config = TotalVariationRecipe(n_features=2, n_resolutions=2)
    pretrained.save_weights(config.build(), config, _CARD, weights)
    options: Arguments = {'n_iterations': 5, 'max_iterations': None, 'tolerance': None}

    table: dict[str, Call] = {
        'TotalVariation': (TotalVariation, {'dim': (-2, -1), 'groups': ((-2,), (-1,)), 'boundary': 'circular'}),
        'TotalVariation.transform': (tv.transform, {'unknown': img}),
        'TotalVariation.lambda_map': (tv.lambda_map, {'weight': maps[1], 'img': img}),
        'DictionarySparsity': (DictionarySparsity, {'filters': filters, 'boundary': 'circular', 'beta': 2.0}),
        'DictionarySparsity.offset': (sparsity.offset, {'initial_image': img}),
        'DictionarySparsity.lambda_map': (sparsity.lambda_map, {'weight': maps[3], 'img': img}),
        'GradientOp': (GradientOp, {'dim': (-2, -1), 'boundary': 'zero'}),
        'GradientOp.forward': (GradientOp((-2, -1)), {'x': img}),
        'GradientOp.adjoint': (GradientOp((-2, -1)).adjoint, {'q': differences}),
        'CartesianAcquisitionOp': (CartesianAcquisitionOp, {'mask': mask, 'csm': csm, 'dim': (-2, -1)}),
        'CartesianAcquisitionOp.forward': (op, {'x': img}),
        'CartesianAcquisitionOp.adjoint': (op.adjoint, {'y': data}),
        'CirculantGramOp': (CirculantGramOp, {'transfer': mask, 'dim': (-2, -1), 'csm': csm}),
        'ConvolutionalDictionaryOp': (ConvolutionalDictionaryOp, {'filters': filters, 'boundary': 'zero'}),
        'ConvolutionalDictionaryOp.forward': (sparsity.synthesis_op, {'x': coefficients}),
        'ConvolutionalDictionaryOp.adjoint': (sparsity.synthesis_op.adjoint, {'x': img}),
        'LowPassOp': (LowPassOp, {'beta': 2.0, 'dim': (-2, -1)}),
        'LowPassOp.forward': (LowPassOp(2.0, (-2, -1)), {'x': img}),
        'WeightedTotalVariation': (lambda x, sigma, **o: WeightedTotalVariation(**o).prox(x, sigma), {
            'x': img, 'sigma': 0.3, 'weight': 0.5, 'dim': (-2, -1), 'tolerance': 1e-2, 'max_iterations': 300,
        }),
        'Problem.create': (solvers.Problem.create, {'regularizer': tv, **acquired, 'lambda_map': 0.1}),
        'ADMM': (solvers.ADMM, {'regularizer': tv, **options, 'penalty_factor': 1.0, 'over_relaxation': 1.8}),
        'PDHG': (solvers.PDHG, {'regularizer': tv, **options}),
        'FISTA': (solvers.FISTA, {'regularizer': sparsity, **options, 'momentum': 3.0}),
        'TruncatedBackward': (solvers.TruncatedBackward, {'n_iterations': 3}),
        'CheckpointedBackward': (solvers.CheckpointedBackward, {'n_segments': 3}),
        'ImplicitBackward': (solvers.ImplicitBackward, {'tolerance': 1e-3, 'max_iterations': 10, 'accuracy': 1e-3}),
        **{f'{name}.forward': (solver, {**acquired, 'lambda_map': 0.1}) for name, solver in fixed.items()},
        **{f'{name}.solve': (solver.solve, {**acquired, 'lambda_map': 0.1}) for name, solver in fixed.items()},
        'UNet': (UNet, {'n_dim': 2, 'n_channels_in': 1, 'n_channels_out': 1, 'n_features': 2, 'n_resolutions': 2}),
        'UNet.forward': (UNet(2, 1, 1, 2).to(precision), {'x': normal(1, 1, 16, 16, dtype=precision)}),
        'LambdaNet': (LambdaNet, {
            'backbone': UNet(2, 2, 1, 2), 'inputs': [ImageInput('magnitude'), NoiseLevelInput()], 'dim': (-2, -1),
            'coarsening': 2, 'padding': 3, 'initial_scale': 0.1, 'circular_dim': (-1,), 'filters_at_once': 2,
        }),
        'LambdaNet.forward': (network(3, ImageInput(), NoiseLevelInput()), {'initial_image': img, 'noise_std': 0.1}),
        'LambdaNet.forward, responses': (
            network(1, ResponsesInput('magnitude')), {'initial_image': img, 'responses': coefficients},
        ),
        'LambdaMapModel': (LambdaMapModel, {'weight': network(2, ImageInput()), 'solver': fixed['ADMM']}),
        'LambdaMapModel.forward': (model, dict(acquired)),
        'LambdaMapModel.solve': (model.solve, {**acquired, 'lambda_map': maps[1]}),
        'LambdaMapModel.estimate': (model.estimate, {'initial_image': img}),
        'TotalVariationRecipe.build': (lambda seed, **o: TotalVariationRecipe(**o).build(seed), {
            'seed': 1, 'n_features': 2, 'n_resolutions': 2, 'padding': 3, 'dim': (-2, -1), 'net_dim': (-2, -1),
            'n_iterations': 3, 'initial_scale': 0.1, 'penalty_factor': 1.0, 'solver': 'ADMM', 'features': 'magnitude',
        }),
        'DictionaryRecipe.build': (lambda filters, **o: DictionaryRecipe(**o).build(filters=filters), {
            'filters': filters, 'n_features': 2, 'n_resolutions': 2, 'beta': 2.0, 'coarsening': 1,
            'responses': 'joint', 'boundary': 'circular', 'n_convs': 1,
        }),
        'LearnedReconstruction': (partial(_reconstruct, LearnedReconstruction), {
            'kdata': kdata, 'csm': csm_data, 'noise': noise, 'model': model, 'noise_std': 0.1,
        }),
        'ModelReconstruction': (partial(_reconstruct, ModelReconstruction), {
            'kdata': kdata, 'csm': csm_data, 'noise': noise, 'noise_std': 0.1,
            'model': MoDLRecipe(n_iterations=2, n_features=2).build().to(precision),
        }),
        'AdaptiveTotalVariationReconstruction': (partial(_reconstruct, AdaptiveTotalVariationReconstruction), {
            'kdata': kdata, 'csm': csm_data, 'regularization_weight': maps[1], 'regularization_dim': (-2, -1),
            'max_iterations': 5,
        }),
        'AdaptiveDictionaryReconstruction': (partial(_reconstruct, AdaptiveDictionaryReconstruction), {
            'kdata': kdata, 'csm': csm_data, 'regularization_weight': maps[3], 'filters': filters, 'beta': 2.0,
            'max_iterations': 5,
        }),
        'estimate_noise': (lambda **o: torch.tensor(estimate_noise(**o).std), {
            'kdata': kdata, 'acquisition_op': fourier_op @ csm_data.as_operator(),
        }),
        'estimate_noise_std': (estimate_noise_std, {'kdata': kdata, 'acquisition_op': fourier_op}),
        'estimate_noise_weight': (estimate_noise_weight, {'kdata': kdata}),
        'prewhiten': (prewhiten, {'kdata': kdata, 'noise': noise}),
        'Dictionary': (dictionary.Dictionary, {'filters': filters, 'sparsity': 0.1, 'beta': 2.0}),
        'learn_dictionary': (partial(dictionary.learn_dictionary, progress=False), {
            'images': images, 'n_filters': 2, 'filter_size': 3, 'sparsity': 0.1, 'beta': 2.0, 'n_steps': 2,
            'batch_size': 2, 'crop': 10, 'n_iterations': 3, 'n_sweeps': 1, 'forgetting': 1.0, 'seed': 0,
        }),
        'coding_objective': (dictionary.coding_objective, {
            'filters': filters, 'images': images, 'sparsity': 0.1, 'beta': 2.0, 'n_iterations': 3,
        }),
        'sparse_codes': (dictionary.sparse_codes, {
            'filters': filters, 'images': torch.stack(images), 'sparsity': 0.1, 'n_iterations': 3, 'penalty': 1.0,
        }),
        'high_pass': (dictionary.high_pass, {'images': images, 'beta': 2.0}),
        'load_dictionary': (dictionary.load_dictionary, {'name_or_path': 'k16-9x9-low'}),
        'load_pretrained': (pretrained.load_pretrained, {'name': 'cdl-v3', 'filters': filters}),
        'load_weights': (pretrained.load_weights, {'path': weights, 'filters': None}),
        'filter_contributions': (interpretation.filter_contributions, {
            'regularizer': sparsity, 'coefficients': coefficients, 'filters': [0, 2],
        }),
        'filter_statistics': (interpretation.filter_statistics, {
            'regularizer': sparsity, 'coefficients': coefficients,
        }),
        'most_active': (interpretation.most_active, {'statistics': statistics, 'n': 2, 'by': 'energy'}),
        'prune': (interpretation.prune, {'regularizer': sparsity, 'keep': [0, 2]}),
        'pruning_curve': (interpretation.pruning_curve, {
            'model': model_of_dictionary, **acquired, 'target': target, 'lambda_map': 0.1, 'numbers': [1, 3],
        }),
        **{f.__name__: (f, {'img': img, 'target': target, 'mask': mask.clone().fill_(0.5)})
           for f in (metrics.mse, metrics.psnr, metrics.nrmse, metrics.ssim)},
        'blur': (metrics.blur, {'img': img}),
        'foreground_mask': (metrics.foreground_mask, {'target': img, 'threshold': 0.1}),
        'relative_mse': (metrics.relative_mse, {
            'img': img, 'target': target, 'initial_image': start, 'background_weight': 0.2,
        }),
    }  # fmt: skip
    return table


def _reconstruct(cls: Any, kdata: KData, **options: Any) -> torch.Tensor:  # noqa: ANN401
    """Set up a reconstruction and apply it."""
    return cls(kdata, **options)(kdata).data


def _scan(normal: Callable[..., torch.Tensor], precision: torch.dtype) -> tuple[KData, KNoise, CsmData, FourierOp]:
    """Return a Cartesian scan, a measurement of its noise, its coil sensitivities and its Fourier operator."""
    ky, kx = (torch.arange(n, dtype=precision) - n // 2 for n in (N_Y, N_X))
    traj = KTrajectory(torch.zeros(1, 1, 1, 1, 1), ky.reshape(1, 1, 1, -1, 1), kx.reshape(1, 1, 1, 1, -1))
    matrix, fov = SpatialDimension(1, N_Y, N_X), SpatialDimension(0.005, 0.2, 0.2)
    header = KHeader(matrix, matrix, fov, fov, AcqInfo(idx=AcqIdx(k1=torch.arange(N_Y).reshape(1, 1, 1, -1, 1))))
    kdata = KData(header, normal(1, 2, 1, N_Y, N_X), traj)
    csm_data = CsmData(normal(1, 2, 1, N_Y, N_X), IHeader.from_kheader(header))
    fourier_op = FourierOp.from_kdata(kdata).to(precision)
    return kdata, KNoise(normal(1, 2, 1, 1, 50)), csm_data, fourier_op
