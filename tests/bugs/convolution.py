"""Bugs of convolution and of max pooling."""

from minispiral import ops
from minispiral.kernels.cpu import col2im, conv2d, conv2d_pixels, im2col, pooling
from tests.bugs.bug import Bug, Edit

CONVOLUTION = (
    Bug(
        "padding-lopsided",
        "All padding is below and to the right, forward and backward alike.",
        (
            Edit(
                im2col.windows,
                "padded[:, pad:-pad, pad:-pad] = x",
                "padded[:, pad:-pad, pad:-pad] = 0; padded[:, : conv.h, : conv.w] = x",
            ),
            Edit(
                conv2d.Padded.conv2d_input_grad, "[:, pad : pad + h, pad : pad + v]", "[:, :h, :v]"
            ),
        ),
        checks=("conv2d 2x4, stride 1, pad 1, 5x6", "conv_transpose2d 3x2, stride 3, pad 1, 7x6"),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "padding-uncut",
        "The gradient of a padded image is cut off in the wrong corner.",
        (
            Edit(
                conv2d.Padded.conv2d_input_grad, "[:, pad : pad + h, pad : pad + v]", "[:, :h, :v]"
            ),
        ),
        checks=("conv2d 2x4, stride 1, pad 1, 5x6", "Conv2d with bias"),
        clue="the gradient of x (2, 5, 6, 3)",
    ),
    Bug(
        "padding-ones",
        "An image is padded with ones below.",
        (Edit(im2col.windows, "padded[:, -pad:] = 0", "padded[:, -pad:] = 1"),),
        checks=("conv2d 2x4, stride 1, pad 1, 5x6",),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "stride-down-only",
        "The stride is used down the image but not across it.",
        (Edit(im2col.windows, "stride * sw", "sw"),),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9", "conv2d 1x1, stride 2, pad 0, 5x6"),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "stride-and-pad-swapped",
        "The gradient of the weights swaps stride and padding.",
        (
            Edit(
                ops.Conv2d.backward,
                "w.shape[:2], stride, pad",
                "w.shape[:2], pad, stride",
            ),
        ),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9",),
        clue="expected stride >= 1 and pad >= 0, got stride 0, pad 2",
    ),
    Bug(
        "adjoint-without-last-row",
        "The gradient of the image leaves out the last row of gy.",
        (
            Edit(
                conv2d_pixels.conv2d_input_grad,
                "gy = np.ascontiguousarray(gy)",
                "gy = gy.copy(); gy[:, -1] = 0",
            ),
        ),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9", "conv_transpose2d 3x3, stride 2, pad 0, 7x9"),
        clue="of axis 1 (0 to 6)",
    ),
    Bug(
        "adjoint-without-last-tap",
        "The gradient of the image leaves out the last column of the kernel.",
        (Edit(col2im.fold, "range(together, kw)", "range(together, kw - 1)"),),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9", "unet 1-3"),
        clue="the gradient of x (2, 7, 9, 3)",
    ),
    Bug(
        "adjoint-overwrites",
        "Where taps of the kernel fall on the same pixel, the last one overwrites the others.",
        (Edit(col2im.fold, "pixels += values", "pixels[...] = values"),),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9",),
        clue="the gradient of x (2, 7, 9, 3)",
    ),
    Bug(
        "adjoint-flipped",
        "The gradient of the image uses the kernel rotated by 180 degrees.",
        (
            Edit(
                conv2d_pixels.conv2d_input_grad,
                "w.reshape(-1, conv.small)",
                "w[::-1, ::-1].reshape(-1, conv.small)",
            ),
        ),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9", "conv2d 2x4, stride 1, pad 1, 5x6"),
        clue="the gradient of x (2, 7, 9, 3)",
    ),
    Bug(
        "weights-flipped",
        "The gradient of the weights is rotated by 180 degrees.",
        (Edit(conv2d.conv2d_weight_grad, "return gw", "return gw[::-1, ::-1].copy()"),),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9", "conv_transpose2d 3x3, stride 2, pad 0, 7x9"),
        clue="the gradient of w (3, 3, 3, 2)",
    ),
    Bug(
        "weights-transposed",
        "Rows and columns of the kernel are swapped in the gradient of the weights.",
        (
            Edit(
                conv2d.conv2d_weight_grad,
                "return gw",
                "return gw.swapaxes(0, 1).reshape(gw.shape)",
            ),
        ),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9",),
        clue="the gradient of w (3, 3, 3, 2)",
    ),
    Bug(
        "weights-channels-mixed",
        "The gradient of the weights has its channels in another order.",
        (
            Edit(
                conv2d.conv2d_weight_grad,
                "return gw",
                "return gw.swapaxes(2, 3).reshape(gw.shape)",
            ),
        ),
        checks=("conv2d 1x1, stride 2, pad 0, 5x6",),
        clue="the gradient of w (1, 1, 3, 2)",
    ),
    Bug(
        "weights-averaged",
        "The gradient of the weights is averaged over the batch, not summed.",
        (
            Edit(
                ops.Conv2d.backward,
                "w.shape[:2], stride, pad)",
                "w.shape[:2], stride, pad) / len(gy)",
            ),
        ),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9",),
        clue="each is 0.5 times what it should be",
    ),
    Bug(
        "weights-last-picture",
        "The gradient of the weights leaves out the last picture of the batch.",
        (
            Edit(
                ops.Conv2d.backward,
                "conv2d_weight_grad(x, gy,",
                "conv2d_weight_grad(x[:-1], gy[:-1],",
            ),
        ),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9",),
        clue="the gradient of w (3, 3, 3, 2)",
    ),
    Bug(
        "weights-decay",
        "Weight decay is hidden in the gradient of the weights.",
        (
            Edit(
                ops.Conv2d.backward,
                "w.shape[:2], stride, pad)",
                "w.shape[:2], stride, pad) + 1e-4 * w",
            ),
        ),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9",),
        clue="zero gy: gy = 0 gives a gradient of w that is not 0",
    ),
    Bug(
        "weights-lent",
        "The gradient of the weights lies in a buffer that the next call overwrites.",
        (
            Edit(
                conv2d.conv2d_weight_grad,
                "parallel.empty(conv.weight_shape, x.dtype)",
                'parallel.scratch(conv.weight_shape, x.dtype, "gw")',
            ),
        ),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9",),
        clue="no aliases: the gradient of w is a buffer that the next pass overwrites",
    ),
    Bug(
        "weights-single",
        "The gradient of the weights is summed in float32.",
        (
            Edit(
                conv2d_pixels.conv2d_weight_grad,
                "total = parallel.empty(gw.shape, gw.dtype)",
                "total = parallel.empty(gw.shape, np.float32)",
            ),
        ),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9",),
        clue="the gradient of w (3, 3, 3, 2)",
    ),
    Bug(
        "transposed-too-large",
        "A transposed convolution gives images that are stride - 1 too large.",
        (
            Edit(
                ops.transposed_hw,
                "stride * (h - 1) + kh - 2 * pad, stride * (w - 1) + kw - 2 * pad",
                "stride * h + kh - 1 - 2 * pad, stride * w + kw - 1 - 2 * pad",
            ),
        ),
        checks=("conv_transpose2d 3x3, stride 2, pad 0, 7x9", "Conv2d transposed with bias"),
        clue="values: the output has shape (2, 16, 20, 3), its oracle (2, 15, 19, 3)",
    ),
    Bug(
        "pool-spread",
        "The gradient of max pooling is spread over the whole window.",
        (
            Edit(
                pooling.max_pool2d_grad,
                "np.where(argmax[b] == k, gy[b], 0)",
                "gy[b] / size**2",
            ),
        ),
        checks=("max_pool2d 2x2, stride 2, 6x8", "max_pool2d 3x3, stride 2, 7x8"),
        clue="the gradient of x (2, 6, 8, 3)",
    ),
    Bug(
        "pool-overwrites",
        "Where windows overlap, a pixel keeps the gradient of only one of them.",
        (
            Edit(
                pooling.max_pool2d_grad,
                "tap += np.where(argmax[b] == k, gy[b], 0)",
                "np.copyto(tap, gy[b], where=argmax[b] == k)",
            ),
        ),
        checks=("max_pool2d 3x3, stride 2, 7x8",),
        clue="the gradient of x (2, 7, 8, 3)",
    ),
    Bug(
        "pool-transposed",
        "The gradient of max pooling goes to the pixel across the window's diagonal.",
        (Edit(pooling.max_pool2d_grad, "*divmod(k, size)", "*divmod(k, size)[::-1]"),),
        checks=("max_pool2d 2x2, stride 2, 6x8",),
        clue="the gradient of x (2, 6, 8, 3)",
    ),
    Bug(
        "pool-size-and-stride-swapped",
        "Max pooling swaps size and stride.",
        (
            Edit(
                ops.max_pool2d,
                "size, size if stride is None else stride",
                "size if stride is None else stride, size",
            ),
        ),
        checks=("max_pool2d 3x3, stride 2, 7x8", "max_pool2d 2x2, stride 3, 8x7"),
        clue="values: the output",
    ),
    Bug(
        "pool-last-of-equals",
        "Of equal maxima the last gets the gradient.",
        (Edit(pooling.max_pool2d, "tap > best", "tap >= best"),),
        test="test_of_equal_maxima_the_first_gets_the_gradient",
    ),
)
