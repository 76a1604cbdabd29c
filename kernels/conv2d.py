"""Two-dimensional convolution: three kernels for six needs.

Images are ``(n, h, w, c)``, weights ``(kh, kw, big, small)``, where ``big`` counts the channels
of the larger image ``x`` and ``small`` those of the smaller image ``y``. With stride ``s`` and
zero padding ``p``::

    conv2d              y[n,a,b,k]  = sum_ijc  x[n, s*a+i-p, s*b+j-p, c] * w[i,j,c,k]
    conv2d_input_grad   gx[n,u,v,c] = sum_ijk  gy[n,a,b,k] * w[i,j,c,k],  u = s*a+i-p, v = s*b+j-p
    conv2d_weight_grad  gw[i,j,c,k] = sum_nab  x[n, s*a+i-p, s*b+j-p, c] * gy[n,a,b,k]

A convolution goes forward by the first and back by the other two. A transposed convolution goes
forward by the second, back by the first, and shares the third with the roles of image and
gradient swapped.

Each kernel is a matrix product. The windows of ``x`` under the kernel, written out as rows,
make ``(pixels, kh*kw*big)``; with the weights as ``(kh*kw*big, small)``::

    y = windows @ w            gw = windows.T @ gy            gx = fold(gy @ w.T)

The windows of a whole batch would be as large as ``kh*kw`` batches. Where the weights fit a
core's cache, threads share the *pixels*: the windows of a few image rows are gathered into a
buffer that stays in cache and multiplied at once. Where the weights are larger than the images,
as in a network's inner layers, threads share the *channels*, so that the large matrix is read
once for the whole batch.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from . import batchnorm, parallel
from .batchnorm import Moments, merge_moments, tile_moments

Array = NDArray[Any]

_TILE = 800_000  # elements of the windows in a tile
_CACHED_WEIGHTS = 400_000  # elements of the weights up to which threads share the pixels
_SHARED_WINDOWS = 6_000_000  # elements of the windows gathered at once where they do not
_PARTIAL_SUMS = 8  # partial weight gradients where threads share the pixels


class _Tile(NamedTuple):
    """Some rows of some images; more than one image only with all their rows."""

    images: slice
    rows: slice


def conv2d(x: Array, w: Array, stride: int = 1, pad: int = 0, moments: bool = False) -> Any:
    """Slide the kernel over the image: ``x (n, h, w, big)`` to ``y (n, oh, ow, small)``.

    ``oh = (h + 2*pad - kh) // stride + 1``, likewise ``ow``. With ``moments`` the result is
    ``(y, mean, var)``: mean and biased variance of each output channel, ``(small,)``, summed
    while each tile is still in cache. ValueError for shapes that do not fit.
    """
    kh, kw, big, small = _check_weights(w)
    _check_dtypes(x, w)
    windows = _windows(x, (kh, kw), big, stride, pad)
    n, oh, ow = windows.shape[:3]
    y = parallel.empty((n, oh, ow, small), x.dtype)
    weights = w.reshape(-1, small)  # (kh*kw*big, small)

    def multiply_tile(tile: _Tile) -> Moments | None:
        out = y[tile].reshape(-1, small)
        np.matmul(_gather(windows, tile), weights, out=out)
        return tile_moments(out) if moments else None

    def multiply_channels(rows: Array, out: Array, k: slice) -> Moments | None:
        np.matmul(rows, weights[:, k], out=out[:, k])
        return tile_moments(out[:, k]) if moments else None

    if weights.size <= _CACHED_WEIGHTS:
        channels = [slice(0, small)]
        parts = [[part] for part in parallel.run(multiply_tile, _tiles(windows.shape, _TILE))]
    else:
        channels = parallel.slices(small, 256)
        parts = []
        for images, rows in _gathered_groups(windows):
            multiply = partial(multiply_channels, rows, y[images].reshape(-1, small))
            parts.append(parallel.run(multiply, channels))
    if not moments:
        return y
    return y, *merge_moments(zip(*parts, strict=True), x.dtype)


def conv2d_weight_grad(
    x: Array, gy: Array, kernel_hw: tuple[int, int], stride: int = 1, pad: int = 0
) -> Array:
    """Gradient of the weights, ``(kh, kw, big, small)``.

    ``x`` is the larger image ``(n, h, w, big)``, ``gy`` belongs to the smaller one,
    ``(n, oh, ow, small)``. ValueError for shapes that do not fit.
    """
    big, small = x.shape[-1], gy.shape[-1]
    _check_dtypes(x, gy)
    windows = _windows(x, kernel_hw, big, stride, pad)
    _check_output(gy, windows.shape[:3])
    gy = np.ascontiguousarray(gy)
    gw = parallel.empty((*kernel_hw, big, small), x.dtype)
    weights = gw.reshape(-1, small)  # (kh*kw*big, small)

    def sum_tiles(tiles: list[_Tile]) -> Array:
        total = parallel.empty(weights.shape, x.dtype)
        product = parallel.scratch(weights.shape, x.dtype, "product")
        for i, tile in enumerate(tiles):
            rows = _gather(windows, tile)
            np.matmul(rows.T, gy[tile].reshape(-1, small), out=product if i else total)
            if i:
                total += product
        return total

    def multiply_channels(rows: Array, g: Array, first: bool, k: slice) -> None:
        if first:
            np.matmul(rows[:, k].T, g, out=weights[k])
        else:
            weights[k] += np.matmul(rows[:, k].T, g)

    if weights.size <= _CACHED_WEIGHTS:
        tiles = _tiles(windows.shape, _TILE)
        shares = parallel.slices(len(tiles), -(-len(tiles) // _PARTIAL_SUMS))
        totals = parallel.run(sum_tiles, [tiles[share] for share in shares])
        np.copyto(weights, totals[0])
        for total in totals[1:]:
            weights += total
    else:
        for images, rows in _gathered_groups(windows):
            g = gy[images].reshape(-1, small)
            multiply = partial(multiply_channels, rows, g, images.start == 0)
            parallel.run(multiply, parallel.slices(len(weights), 768))
    return gw


def conv2d_input_grad(
    gy: Array,
    w: Array,
    out_hw: tuple[int, int],
    stride: int = 1,
    pad: int = 0,
    moments: bool = False,
) -> Any:
    """The adjoint of `conv2d`: ``gy (n, oh, ow, small)`` to ``gx (n, *out_hw, big)``.

    Images of several sizes have the same ``(oh, ow)``, so ``out_hw`` says which is meant. With
    ``moments`` the result is ``(gx, mean, var)`` as for `conv2d`. ValueError for shapes
    that do not fit.
    """
    kh, kw, big, small = _check_weights(w)
    _check_dtypes(gy, w)
    n, (h, v) = gy.shape[0], out_hw
    oh, ow = _output_hw((h, v), (kh, kw), stride, pad)
    _check_output(gy, (n, oh, ow))
    if gy.shape[-1] != small:
        raise ValueError(f"gy {gy.shape} has {gy.shape[-1]} channels, the weights give {small}")
    if stride == 1 and kh == kw > max(pad, 1):  # a convolution too, and to gather is faster
        turned = np.ascontiguousarray(w[::-1, ::-1].swapaxes(2, 3))
        return conv2d(gy, turned, 1, kh - 1 - pad, moments)
    if pad:
        out_hw = (h + 2 * pad, v + 2 * pad)
        gx = conv2d_input_grad(gy, w, out_hw, stride)[:, pad : pad + h, pad : pad + v].copy()
        return (gx, *batchnorm.moments(gx)) if moments else gx
    gy = np.ascontiguousarray(gy)
    gx = parallel.empty((n, h, v, big), gy.dtype)
    # Few channels at a time make a tile of many rows, of which fewer border on another tile.
    cached = w.size <= _CACHED_WEIGHTS
    channels = parallel.slices(big, 64 if cached else big)
    size = _TILE if cached else 2 * _TILE
    # each (small, kh*kw*channels); no copy where it is the whole of a contiguous w
    transposed = [w[:, :, c].reshape(-1, small).T for c in channels]

    def scatter(task: tuple[int, _Tile]) -> Moments | None:
        """Finish the rows ``stride * tile.rows`` of gx from all rows of gy that reach them."""
        k, (images, rows) = task
        c = channels[k]
        start, stop = max(rows.start - (kh - 1) // stride, 0), min(rows.stop, oh)
        g = gy[images, start:stop]
        products = parallel.scratch((*g.shape[:3], kh, kw, c.stop - c.start), gy.dtype)
        np.matmul(
            g.reshape(-1, small),
            transposed[k],
            out=products.reshape(-1, transposed[k].shape[1]),
        )
        out = gx[images, stride * rows.start : stride * rows.stop, :, c]
        _fold(products, out, stride, rows.start - start)
        return tile_moments(out.reshape(-1, c.stop - c.start)) if moments else None

    bands = (n, -(-h // stride), ow, kh, kw * (channels[0].stop - channels[0].start))
    tasks = [(k, tile) for k in range(len(channels)) for tile in _tiles(bands, size)]
    parts = parallel.run(scatter, tasks)
    if not moments:
        return gx
    by_channels = [parts[s] for s in parallel.slices(len(parts), len(parts) // len(channels))]
    return gx, *merge_moments(by_channels, gy.dtype)


def _fold(products: Array, out: Array, stride: int, skip: int) -> None:
    """Add each product where its tap of the kernel puts it.

    ``products (n, a, b, kh, kw, c)`` at ``(a, b, i, j)`` belongs to the pixel
    ``(stride * (a - skip) + i, stride * b + j)`` of ``out (n, h, w, c)``.

    ``stride`` taps side by side fill ``stride`` neighbouring pixels at once. The first taps to
    reach a pixel write and the others add, so that only the rim that they leave out is filled
    with zeros first.
    """
    ow, kh, kw = products.shape[2:5]
    sparse = min(kh, kw) < stride  # pixels that no tap reaches lie between the others
    if sparse:
        out[...] = 0
    for i in range(kh):
        rows = out[:, i % stride :: stride]
        target, source = _overlap(rows.shape[1], products.shape[1], i // stride - skip)
        for j in range(0, kw, stride):
            taps = products[:, source, :, i, j : j + stride]  # (n, a, b, taps, c)
            pixels = rows[:, target, j:]
            sn, sh, sw, sc = pixels.strides
            pixels = as_strided(pixels, taps.shape, (sn, sh, stride * sw, sw, sc))
            if i < stride and j == 0 and not sparse:
                rows[:, : target.start] = 0
                rows[:, target.stop :] = 0
                rows[:, target, stride * ow :] = 0
                pixels[...] = taps
            else:
                pixels += taps


def _overlap(size: int, length: int, offset: int) -> tuple[slice, slice]:
    """Where ``length`` places moved by ``offset`` fall on ``size``: in target and in source."""
    start = min(max(offset, 0), size)
    stop = max(min(offset + length, size), start)
    return slice(start, stop), slice(start - offset, stop - offset)


def _windows(x: Array, kernel_hw: tuple[int, int], big: int, stride: int, pad: int) -> Array:
    """A view of the windows under the kernel, ``(n, oh, ow, kh, kw*big)``."""
    if x.ndim != 4 or x.shape[-1] != big:
        raise ValueError(f"expected an image (n, h, w, {big}), got shape {x.shape}")
    n, h, v, _ = x.shape
    oh, ow = _output_hw((h, v), kernel_hw, stride, pad)
    if pad:
        padded = parallel.empty((n, h + 2 * pad, v + 2 * pad, big), x.dtype)
        padded[:, :pad] = padded[:, -pad:] = 0
        padded[:, pad:-pad, :pad] = padded[:, pad:-pad, -pad:] = 0
        padded[:, pad:-pad, pad:-pad] = x
        x = padded
    x = np.ascontiguousarray(x)
    sn, sh, sw, _ = x.strides
    shape = (n, oh, ow, kernel_hw[0], kernel_hw[1] * big)
    strides = (sn, stride * sh, stride * sw, sh, x.itemsize)
    return as_strided(x, shape, strides, writeable=False)


def _gather(windows: Array, tile: _Tile) -> Array:
    """The windows of a tile as rows ``(pixels, kh*kw*big)`` in this thread's buffer."""
    view = windows[tile]
    rows = parallel.scratch(view.shape, view.dtype)
    np.copyto(rows, view)
    return rows.reshape(-1, view.shape[3] * view.shape[4])


def _gathered_groups(windows: Array) -> Iterator[tuple[slice, Array]]:
    """The windows of a group of images at a time, gathered by all threads together."""
    n, oh, ow, kh, row = windows.shape
    for images in parallel.slices(n, max(1, _SHARED_WINDOWS // (oh * ow * kh * row))):
        view = windows[images]
        rows = parallel.empty(view.shape, view.dtype)
        parallel.run(partial(_copy_tile, view, rows), _tiles(view.shape, _TILE))
        yield images, rows.reshape(-1, kh * row)


def _copy_tile(source: Array, target: Array, tile: _Tile) -> None:
    np.copyto(target[tile], source[tile])


def _tiles(windows_shape: tuple[int, ...], size: int) -> list[_Tile]:
    """Cut ``(n, oh, ow, kh, kw*c)`` into tiles of at most ``size`` elements, if a row has fewer."""
    n, oh, ow, kh, row = windows_shape
    rows = max(1, size // (ow * kh * row))
    if n > 1 and rows >= oh:
        groups = parallel.even_slices(n, rows // oh)
        return [_Tile(images, slice(0, oh)) for images in groups]
    parts = parallel.even_slices(oh, rows)
    return [_Tile(slice(i, i + 1), part) for i in range(n) for part in parts]


def _output_hw(
    image_hw: tuple[int, int], kernel_hw: tuple[int, int], stride: int, pad: int
) -> tuple[int, int]:
    if stride < 1 or pad < 0:
        raise ValueError(f"expected stride >= 1 and pad >= 0, got stride {stride}, pad {pad}")
    (h, w), (kh, kw) = image_hw, kernel_hw
    oh, ow = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    if oh < 1 or ow < 1:
        raise ValueError(
            f"a kernel of height {kh} and width {kw} does not fit an image of height {h} "
            f"and width {w} with padding {pad}"
        )
    return oh, ow


def _check_weights(w: Array) -> tuple[int, int, int, int]:
    if w.ndim != 4:
        raise ValueError(f"expected weights (kh, kw, big, small), got shape {w.shape}")
    kh, kw, big, small = w.shape
    return kh, kw, big, small


def _check_dtypes(*arrays: Array) -> None:
    dtypes = [array.dtype for array in arrays]
    if len(set(dtypes)) > 1 or dtypes[0].kind not in "fc":
        raise ValueError(
            f"expected one floating dtype throughout, got {' and '.join(map(str, dtypes))}"
        )


def _check_output(gy: Array, expected: tuple[int, ...]) -> None:
    if gy.ndim != 4 or gy.shape[:3] != expected:
        n, oh, ow = expected
        raise ValueError(
            f"gy of shape {gy.shape} does not belong to this convolution, whose output "
            f"is (n={n}, oh={oh}, ow={ow}, small)"
        )
