"""Gram operator of an acquisition of an image that a dictionary synthesizes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.ConvolutionalDictionaryOp import ConvolutionalDictionaryOp


class DictionaryGramOp(LinearOperator):
    r"""The operator :math:`D^H A^H A D`.

    Where both parts are circulant (one coil, Cartesian, circular boundary), it takes two FFTs for each filter and none
    for the acquisition.
    """

    def __init__(
        self, dictionary_op: ConvolutionalDictionaryOp, acquisition_gram: LinearOperator, shape: Sequence[int]
    ) -> None:
        """Initialize the operator.

        Parameters
        ----------
        dictionary_op
            Dictionary :math:`D`.
        acquisition_gram
            Gram operator of the acquisition :math:`A^H A`, see `gram_operator`.
        shape
            Shape of the image.
        """
        super().__init__()
        self.dictionary_op = dictionary_op
        self.acquisition_gram = acquisition_gram
        self._shape = tuple(shape)
        self._dim: tuple[int, ...] = ()
        self._transfer: torch.Tensor = torch.ones(())
        if (
            isinstance(acquisition_gram, CirculantGramOp)
            and acquisition_gram.circulant
            and dictionary_op.boundary == 'circular'
        ):
            self._dim = tuple(sorted({*dictionary_op.dim, *acquisition_gram.dim}))
            self._transfer = acquisition_gram.transfer
            self._spectrum = dictionary_op.spectrum(shape, self._transfer.device)

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the operator to coefficients of shape `(n_filters, *image)`."""
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the operator. Prefer calling the instance."""
        if not self._dim:
            return self.dictionary_op.adjoint(self.acquisition_gram(self.dictionary_op(x)[0])[0])
        image_spectrum = self.dictionary_op.synthesize(x, self._spectrum, self._dim) * self._transfer
        y = self.dictionary_op.analyze(image_spectrum, self._spectrum, self._dim)
        return (y if x.is_complex() or self.dictionary_op.filters.is_complex() else y.real,)

    def adjoint(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the operator itself, which is self-adjoint."""
        return self.forward(x)

    def norm_squared_bound(self) -> torch.Tensor | None:
        """Return an upper bound of the norm in closed form, `None` if the acquisition has none."""
        if not isinstance(self.acquisition_gram, CirculantGramOp):
            return None
        if self._dim:
            return self.dictionary_op.norm_squared(self._shape, self._transfer)
        return self.dictionary_op.norm_squared(self._shape) * self.acquisition_gram.norm_squared_bound()
