"""Matrices and factor pairs: tensors in, tensors out, no state."""

from lrexplore.linalg.decomposition import Decomposition, balance_orthonormal, truncate
from lrexplore.linalg.factors import Factors, fit_squares, upcast
from lrexplore.linalg.finite import check_finite, check_values
from lrexplore.linalg.matricization import (
    SCHEMES,
    dematricize,
    dematricize_channel,
    dematricize_spatial,
    matricize,
    matricize_channel,
    matricize_spatial,
    matrix_shape,
    rows_per_neuron,
    scheme_of,
)
from lrexplore.linalg.norms import (
    RowComparison,
    compare_rows,
    factor_bound,
    frobenius_error,
    neuron_norms,
    product_norm,
    relative,
    spectral_norm,
)
from lrexplore.linalg.products import (
    balance_product,
    gram_factors,
    gram_values,
    plane_grams,
    plane_losses,
    product_svd,
    product_values,
)
from lrexplore.linalg.rank import break_even_rank, check_rank, num_factor_parameters, parameter_ratio, rank_from_scale
from lrexplore.linalg.spectrum import (
    effective_rank,
    energy,
    marchenko_pastur,
    marchenko_pastur_density,
    noise_threshold,
    quick_singular_values,
    singular_values,
    spectrum,
    stable_rank,
)
