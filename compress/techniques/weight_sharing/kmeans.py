"""Cluster numbers with k-means, exactly and fast: clusters of sorted numbers are intervals.

The objective is ``sum_i h_i (x_i - c_k(i))^2`` with a weight ``h_i`` per number. Han et al., Deep
Compression (arXiv:1510.00149), section 3, share weights this way, with ``h = 1`` and centroids that
start evenly between the smallest and the largest weight. Here they start from the best clustering
of a histogram, found by dynamic programming over its bins (Wang and Song, Ckmeans.1d.dp, The R
Journal 3/2, 2011, equation 1), so that Lloyd's iteration begins next to the global minimum.
SciPy's k-means has no weights and begins at random.

Legend: N numbers, B bins, K centroids.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BINS = 256
_MOST_EXACT_CENTROIDS = 32
_MOST_ITERATIONS = 100


def cluster(
    values_N: Floats, weight_N: Floats, *, num_centroids: int, keep_zero: bool = False
) -> Floats:
    """Return at most ``num_centroids`` ascending centroids: a local minimum of the error.

    ``keep_zero`` fixes one of them at exactly zero. Fewer are returned if there are fewer distinct
    numbers.
    """
    order = np.argsort(values_N, kind="stable")
    data = _Sorted(values_N[order], weight_N[order])
    distinct = np.unique(data.values_N)
    if keep_zero:
        distinct = np.union1d(distinct, [0.0])
    if len(distinct) <= num_centroids:
        return distinct
    return lloyd(data, _start(data, num_centroids), keep_zero=keep_zero)


def nearest(values: Floats, centroids_K: Floats) -> NDArray[np.intp]:
    """Return the index of the nearest of the ascending centroids, the lower one on a tie."""
    return np.searchsorted(_borders(centroids_K), values, side="left")


class _Sorted:
    """Ascending numbers and their cumulative sums, which make a cluster's mean O(1)."""

    def __init__(self, values_N: Floats, weight_N: Floats) -> None:
        self.values_N = values_N
        self.mass = _cumulative(weight_N)
        self.first = _cumulative(weight_N * values_N)

    def means(self, ends_K: NDArray[np.intp], fallback_K: Floats) -> Floats:
        """Return weighted means of the K intervals that end at ``ends_K``, or their fallbacks."""
        ends = np.concatenate([[0], ends_K])
        mass_K, first_K = np.diff(self.mass[ends]), np.diff(self.first[ends])
        filled_K = mass_K > 0
        return np.where(filled_K, first_K / np.where(filled_K, mass_K, 1.0), fallback_K)


def lloyd(data: _Sorted, centroids_K: Floats, *, keep_zero: bool) -> Floats:
    """Alternate between nearest centroids and means until nothing changes."""
    if keep_zero:
        centroids_K = centroids_K.copy()
        centroids_K[np.abs(centroids_K).argmin()] = 0.0
    for _ in range(_MOST_ITERATIONS):
        ends_K = np.append(
            np.searchsorted(data.values_N, _borders(centroids_K), side="right"),
            len(data.values_N),
        )
        moved_K = data.means(ends_K, centroids_K)
        if keep_zero:
            moved_K[centroids_K == 0.0] = 0.0
        moved_K.sort()
        if np.array_equal(moved_K, centroids_K):
            break
        centroids_K = moved_K
    return centroids_K


def _start(data: _Sorted, num_centroids: int) -> Floats:
    bins = _BINS if num_centroids <= _MOST_EXACT_CENTROIDS else num_centroids
    ends_B = _bins(data, bins)
    if len(ends_B) <= num_centroids:
        return data.means(ends_B, np.zeros(len(ends_B)))
    return data.means(ends_B[_best_ends(data, ends_B, num_centroids)], np.zeros(num_centroids))


def _bins(data: _Sorted, num_bins: int) -> NDArray[np.intp]:
    """Return ends of non-empty bins of equal width, so that rare large numbers get bins."""
    low, high = data.values_N[0], data.values_N[-1]
    edges = np.linspace(low, high, num_bins + 1)[1:-1]
    ends = np.append(np.searchsorted(data.values_N, edges, side="right"), len(data.values_N))
    return np.unique(ends[ends > 0])


def _best_ends(data: _Sorted, ends_B: NDArray[np.intp], num_centroids: int) -> NDArray[np.intp]:
    """Return the last bin of each cluster in the best clustering of the bins.

    ``best[k, b] = min_a best[k - 1, a] + error(a, b)`` over the first bin ``a`` of the last
    cluster; the error of bins ``a .. b`` is ``-first^2 / mass`` up to a constant.
    """
    mass = np.append(0.0, data.mass[ends_B])
    first = np.append(0.0, data.first[ends_B])
    mass_AB, first_AB = mass[None, 1:] - mass[:-1, None], first[None, 1:] - first[:-1, None]
    safe_AB = np.where(mass_AB > 0, mass_AB, 1.0)
    error_AB = np.where(mass_AB > 0, -(first_AB**2) / safe_AB, 0.0)
    error_AB[np.tril_indices(len(ends_B), -1)] = np.inf
    best_B, cuts = error_AB[0], []
    for _ in range(num_centroids - 1):
        before_A = np.append(np.inf, best_B[:-1])
        total_AB = before_A[:, None] + error_AB
        cuts.append(total_AB.argmin(axis=0))
        best_B = total_AB.min(axis=0)
    last = [len(ends_B) - 1]
    for cut_B in reversed(cuts):
        last.append(cut_B[last[-1]] - 1)
    return np.array(last[::-1])


def _borders(centroids_K: Floats) -> Floats:
    return (centroids_K[1:] + centroids_K[:-1]) / 2


def _cumulative(values_N: Floats) -> Floats:
    return np.append(0.0, np.cumsum(values_N))
