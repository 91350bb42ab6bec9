"""Figures of reconstructions and Lambda maps. They need the extra `plot` and no display."""

from mrpro_lambda.plotting.gray_picture import gray_picture
from mrpro_lambda.plotting.gray_picture import gray_window
from mrpro_lambda.plotting.plot_comparison import plot_comparison
from mrpro_lambda.plotting.plot_filter_maps import plot_filter_maps
from mrpro_lambda.plotting.plot_filters import plot_filters
from mrpro_lambda.plotting.plot_fit import plot_fit
from mrpro_lambda.plotting.plot_lambda_map import plot_lambda_map
from mrpro_lambda.plotting.plot_residual import plot_residual
from mrpro_lambda.plotting.plot_sweep import plot_sweep

__all__ = [
    "gray_picture",
    "gray_window",
    "plot_comparison",
    "plot_filter_maps",
    "plot_filters",
    "plot_fit",
    "plot_lambda_map",
    "plot_residual",
    "plot_sweep",
]
