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

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ..shapes import check_dtypes, check_output, check_weights, output_hw
from . import batchnorm, parallel
from .batchnorm import Moments, merge_moments, tile_moments

Array = NDArray[Any]
Finish = Callable[..., Moments | None]

_TILE = 800_000  # elements of the windows in a tile
_CACHED_WEIGHTS = 600_000  # elements of the weights up to which threads share the pixels
_SHARED_WINDOWS = 6_000_000  # elements of the windows worked on at once where they do not
_PARTIAL_SUMS = 8  # partial weight gradients where threads share the pixels
_NARROW = 16  # elements that are too few to be worth a loop of their own


class _Tile(NamedTuple):
    """Some rows of some images; more than one image only with all their rows."""

    images: slice
    rows: slice


def conv2d(
    x: Array,
    w: Array,
    stride: int = 1,
    pad: int = 0,
    moments: bool = False,
    scale_shift: tuple[Array, Array] | None = None,
) -> Any:
    """Slide the kernel over the image: ``x (n, h, w, big)`` to ``y (n, oh, ow, small)``.

    ``oh = (h + 2*pad - kh) // stride + 1``, likewise ``ow``. Two things can be done with each part
    of the output while it is in cache. With ``scale_shift``, two vectors ``(small,)``, it becomes
    ``max(scale * y + shift, 0)``. With ``moments`` the result is ``(y, mean, var)``: mean and
    biased variance of each channel, ``(small,)``. ValueError for shapes that do not fit.
    """
    kh, kw, big, small = check_weights(w)
    check_dtypes(x, w)
    windows = _windows(x, (kh, kw), big, stride, pad)
    n, oh, ow = windows.shape[:3]
    y = parallel.empty((n, oh, ow, small), x.dtype)
    weights = w.reshape(-1, small)  # (kh*kw*big, small)
    finish = _finisher(moments, scale_shift)

    def multiply_tile(tile: _Tile) -> Moments | None:
        out = y[tile].reshape(-1, small)
        np.matmul(_gather(windows, tile), weights, out=out)
        return finish(out)

    def multiply_channels(rows: Array, out: Array, k: slice) -> Moments | None:
        np.matmul(rows, weights[:, k], out=out[:, k])
        return finish(out[:, k], k)

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
    check_dtypes(x, gy)
    windows = _windows(x, kernel_hw, big, stride, pad)
    check_output(gy, windows.shape[:3])
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
            parallel.run(multiply, parallel.even_slices(len(weights), 768))
    return gw


def conv2d_input_grad(
    gy: Array,
    w: Array,
    out_hw: tuple[int, int],
    stride: int = 1,
    pad: int = 0,
    moments: bool = False,
    scale_shift: tuple[Array, Array] | None = None,
) -> Any:
    """The adjoint of `conv2d`: ``gy (n, oh, ow, small)`` to ``gx (n, *out_hw, big)``.

    Images of several sizes have the same ``(oh, ow)``, so ``out_hw`` says which is meant. For
    ``moments`` and ``scale_shift (big,)`` see `conv2d`. ValueError for shapes that do not fit.
    """
    kh, kw, big, small = check_weights(w)
    check_dtypes(gy, w)
    n, (h, v) = gy.shape[0], out_hw
    oh, ow = output_hw((h, v), (kh, kw), stride, pad)
    check_output(gy, (n, oh, ow))
    if gy.shape[-1] != small:
        raise ValueError(f"gy {gy.shape} has {gy.shape[-1]} channels, the weights give {small}")
    if stride == 1 and kh == kw > max(pad, 1):  # a convolution too, and to gather is faster
        turned = np.ascontiguousarray(w[::-1, ::-1].swapaxes(2, 3))
        return conv2d(gy, turned, 1, kh - 1 - pad, moments, scale_shift)
    if pad:
        gx = conv2d_input_grad(gy, w, (h + 2 * pad, v + 2 * pad), stride, 0, False, scale_shift)
        gx = gx[:, pad : pad + h, pad : pad + v].copy()
        return (gx, *batchnorm.moments(gx)) if moments else gx
    gy = np.ascontiguousarray(gy)
    gx = parallel.empty((n, h, v, big), gy.dtype)
    weights = w.reshape(-1, small)  # (kh*kw*big, small)
    share = _share_pixels if w.size <= _CACHED_WEIGHTS else _share_channels
    parts = share(gy, weights, gx, (kh, kw), stride, _finisher(moments, scale_shift))
    return (gx, *merge_moments(parts, gy.dtype)) if moments else gx


def _finisher(moments: bool, scale_shift: tuple[Array, Array] | None) -> Finish:
    """What to do with a part ``(..., c)`` of an output, and which channels it has, once it is
    there and still in cache: scale, shift and ReLU, or its moments, which are the result."""

    @cache
    def scale_shift_relu(start: int | None, stop: int | None) -> Callable[[Array], None]:
        assert scale_shift is not None
        scale, shift = scale_shift
        return batchnorm.scale_shift_relu(scale[start:stop], shift[start:stop])

    def finish(out: Array, channels: slice = slice(None)) -> Moments | None:
        if scale_shift is not None:
            scale_shift_relu(channels.start, channels.stop)(out)
        return tile_moments(out.reshape(-1, out.shape[-1])) if moments else None

    return finish


def _share_pixels(
    gy: Array,
    weights: Array,
    gx: Array,
    kernel_hw: tuple[int, int],
    stride: int,
    finish: Finish,
) -> list[list[Any]]:
    """Write the adjoint into ``gx``, each thread some of the pixels; returns what was finished.

    A tile of gy reaches ``kh - stride`` rows into the tile below. These rows are kept apart until
    both tiles are done, so that no two threads write to one row.
    """
    n, oh, ow, small = gy.shape
    (kh, kw), (h, v, big) = kernel_hw, gx.shape[1:]
    overlap = max(kh - stride, 0)
    tiles = _tiles((n, oh, ow, kh, kw * big), _TILE, overlap // stride + 1)
    borders = sorted({tile.rows.stop for tile in tiles})[:-1] if overlap else []
    beyond = parallel.empty((len(borders), n, overlap, v, big), gy.dtype)

    def scatter(tile: _Tile) -> Moments | None:
        g = gy[tile]
        products = parallel.scratch((*g.shape[:3], kh, kw, big), gy.dtype)
        np.matmul(g.reshape(-1, small), weights.T, out=products.reshape(-1, len(weights)))
        start, stop = stride * tile.rows.start, stride * tile.rows.stop
        out = gx[tile.images, start : h if tile.rows.stop == oh else stop]
        _fold(products, out, stride)
        if tile.rows.stop in borders:
            below = beyond[borders.index(tile.rows.stop), tile.images]
            _fold(products, below, stride, g.shape[1])
        return finish(out[:, overlap if start else 0 :])

    def add_beyond(border: int) -> Moments | None:
        start = stride * borders[border]
        rows = gx[:, start : start + overlap]
        rows += beyond[border]
        return finish(rows)

    return [parallel.run(scatter, tiles) + parallel.run(add_beyond, range(len(borders)))]


def _share_channels(
    gy: Array,
    weights: Array,
    gx: Array,
    kernel_hw: tuple[int, int],
    stride: int,
    finish: Finish,
) -> list[list[Any]]:
    """Write the adjoint into ``gx``, each thread some channels; returns what was finished."""
    n, oh, ow, small = gy.shape
    kh, kw = kernel_hw
    taps = weights.reshape(kh, kw, -1, small).swapaxes(2, 3)  # (kh, kw, small, big)

    def scatter(images: slice, k: slice) -> Moments | None:
        g, w, out = gy[images].reshape(-1, small), taps[..., k], gx[images, ..., k]
        products = parallel.scratch((kh, kw, len(g), w.shape[-1]), gy.dtype)
        np.matmul(g, w, out=products)
        products = products.reshape(kh, kw, -1, oh, ow, w.shape[-1])
        _fold(products.transpose(2, 3, 4, 0, 1, 5), out, stride)
        return finish(out, k)

    groups = _image_groups(n, oh * ow * len(weights))
    channels = parallel.even_slices(gx.shape[-1], 256)
    parts = [parallel.run(partial(scatter, images), channels) for images in groups]
    return [list(part) for part in zip(*parts, strict=True)]


def _fold(products: Array, out: Array, stride: int, skip: int = 0) -> None:
    """Add each product where its tap of the kernel puts it.

    ``products (n, a, b, kh, kw, c)`` at ``(a, b, i, j)`` belongs to the pixel
    ``(stride * (a - skip) + i, stride * b + j)`` of ``out (n, h, w, c)``.

    ``stride`` taps side by side fill as many neighbouring pixels at once, since NumPy's loops run
    along the last axis; those of a single channel come one by one, so that the loop runs along
    the row. The first taps to reach a pixel write and the others add, so that only the rim that
    they leave out is filled with zeros first.
    """
    ow, kh, kw, c = products.shape[2:]
    together = kw // stride * stride if c > 1 else 0
    taps = [*parallel.slices(together, stride), *(slice(j, j + 1) for j in range(together, kw))]
    sparse = kh < stride or kw < stride  # pixels that no tap reaches lie between the others
    if sparse:
        out[...] = 0
    for i in range(kh):
        rows = out[:, i % stride :: stride]
        target, source = _overlap(rows.shape[1], products.shape[1], i // stride - skip)
        if i < stride and not sparse:
            rows[:, : target.start] = 0
            rows[:, target.stop :] = 0
            rows[:, target, stride * ow :] = 0
        for tap in taps:
            values = products[:, source, :, i, tap]  # (n, a, b, taps, c)
            pixels = rows[:, target, tap.start : tap.start + stride * ow]
            if tap.start < together:
                pixels = pixels.reshape(values.shape)
            else:
                pixels = pixels[:, :, ::stride, None]
            if i < stride and tap.start < stride and not sparse:
                pixels[...] = values
            else:
                pixels += values


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
    oh, ow = output_hw((h, v), kernel_hw, stride, pad)
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
    """The windows of a tile as rows ``(pixels, kh*kw*big)`` in this thread's buffer.

    Windows of few channels are gathered tap by tap, since NumPy's loops run along the last axis.
    """
    view = windows[tile]
    kh, row = view.shape[3:]
    if row < _NARROW:
        columns = parallel.scratch((kh, row, *view.shape[:3]), view.dtype)
        np.copyto(columns, view.transpose(3, 4, 0, 1, 2))
        return columns.reshape(kh * row, -1).T
    rows = parallel.scratch(view.shape, view.dtype)
    np.copyto(rows, view)
    return rows.reshape(-1, kh * row)


def _gathered_groups(windows: Array) -> Iterator[tuple[slice, Array]]:
    """The windows of a group of images at a time, gathered by all threads together."""
    n, oh, ow, kh, row = windows.shape
    for images in _image_groups(n, oh * ow * kh * row):
        view = windows[images]
        rows = parallel.empty(view.shape, view.dtype)
        parallel.run(partial(_copy_tile, view, rows), _tiles(view.shape, _TILE))
        yield images, rows.reshape(-1, kh * row)


def _image_groups(n: int, size: int) -> list[slice]:
    """``n`` images in groups whose windows, ``size`` elements an image, are worked on at once."""
    return parallel.slices(n, max(1, _SHARED_WINDOWS // size))


def _copy_tile(source: Array, target: Array, tile: _Tile) -> None:
    np.copyto(target[tile], source[tile])


def _tiles(windows_shape: tuple[int, ...], size: int, fewest: int = 1) -> list[_Tile]:
    """Cut ``(n, oh, ow, kh, kw*c)`` into tiles of at most ``size`` elements.

    Those of some rows of an image have at least ``fewest`` rows, or are the only one.
    """
    n, oh, ow, kh, row = windows_shape
    rows = max(1, size // (ow * kh * row))
    if n > 1 and rows >= oh:
        groups = parallel.even_slices(n, rows // oh)
        return [_Tile(images, slice(0, oh)) for images in groups]
    parts = parallel.even_slices(oh, rows)
    if parts[0].stop < fewest:
        parts = parallel.slices(oh, fewest)
    return [_Tile(slice(i, i + 1), part) for i in range(n) for part in parts]
