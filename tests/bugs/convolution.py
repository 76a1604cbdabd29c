"""Bugs of convolution and of max pooling."""

from minispiral import ops
from minispiral.kernels.cpu import conv2d, pooling
from tests.bugs.bug import Bug, Edit

CONVOLUTION = (
    Bug(
        "padding-lopsided",
        "All padding is below and to the right, forward and backward alike.",
        (
            Edit(
                conv2d._windows,
                "padded[:, pad:-pad, pad:-pad] = x",
                "padded[:, pad:-pad, pad:-pad] = 0; padded[:, :h, :v] = x",
            ),
            Edit(conv2d.conv2d_input_grad, "[:, pad : pad + h, pad : pad + v]", "[:, :h, :v]"),
        ),
        checks=("conv2d 2x4, stride 1, pad 1, 5x6", "conv_transpose2d 3x2, stride 3, pad 1, 7x6"),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "padding-uncut",
        "The gradient of a padded image is cut off in the wrong corner.",
        (Edit(conv2d.conv2d_input_grad, "[:, pad : pad + h, pad : pad + v]", "[:, :h, :v]"),),
        checks=("conv2d 2x4, stride 1, pad 1, 5x6", "Conv2d with bias"),
        clue="the gradient of x (2, 5, 6, 3)",
    ),
    Bug(
        "padding-ones",
        "The rim above and below an image is padded with ones.",
        (Edit(conv2d._windows, "padded[:, -pad:] = 0", "padded[:, -pad:] = 1"),),
        checks=("conv2d 2x4, stride 1, pad 1, 5x6",),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "stride-down-only",
        "The stride counts down the rows but not along them.",
        (Edit(conv2d._windows, "stride * sw", "sw"),),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9", "conv2d 1x1, stride 2, pad 0, 5x6"),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "stride-and-pad-swapped",
        "The gradient of the weights takes the stride for the padding and the other way round.",
        (
            Edit(
                ops.Conv2d.gradients,
                "w.shape[:2], stride, pad",
                "w.shape[:2], pad, stride",
            ),
        ),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9",),
        clue="expected stride >= 1 and pad >= 0, got stride 0, pad 2",
    ),
    Bug(
        "adjoint-without-last-row",
        "The last row of gy is left out of the gradient of the image.",
        (
            Edit(
                conv2d.conv2d_input_grad,
                "gy = np.ascontiguousarray(gy)",
                "gy = gy.copy(); gy[:, -1] = 0",
            ),
        ),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9", "conv_transpose2d 3x3, stride 2, pad 0, 7x9"),
        clue="of axis 1 (0 to 6)",
    ),
    Bug(
        "adjoint-without-last-tap",
        "The last column of the kernel is left out of the gradient of the image.",
        (Edit(conv2d._fold, "range(together, kw)", "range(together, kw - 1)"),),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9", "unet 1-3"),
        clue="the gradient of x (2, 7, 9, 3)",
    ),
    Bug(
        "adjoint-overwrites",
        "Where taps of the kernel meet in one pixel the last one overwrites the others.",
        (Edit(conv2d._fold, "pixels += values", "pixels[...] = values"),),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9",),
        clue="the gradient of x (2, 7, 9, 3)",
    ),
    Bug(
        "adjoint-flipped",
        "The gradient of the image uses the kernel upside down.",
        (
            Edit(
                conv2d.conv2d_input_grad, "w.reshape(-1, small)", "w[::-1, ::-1].reshape(-1, small)"
            ),
        ),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9", "conv2d 2x4, stride 1, pad 1, 5x6"),
        clue="the gradient of x (2, 7, 9, 3)",
    ),
    Bug(
        "weights-flipped",
        "The gradient of the weights is upside down.",
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
        "The gradient of the weights has the channels in another order.",
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
                ops.Conv2d.gradients,
                "stride, pad)\n        )",
                "stride, pad) / len(gy)\n        )",
            ),
        ),
        checks=("conv2d 3x3, stride 2, pad 0, 7x9",),
        clue="each is 0.5 times what it should be",
    ),
    Bug(
        "weights-last-picture",
        "The last picture of the batch is left out of the gradient of the weights.",
        (
            Edit(
                ops.Conv2d.gradients,
                "conv2d_weight_grad(x(), gy,",
                "conv2d_weight_grad(x()[:-1], gy[:-1],",
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
                ops.Conv2d.gradients,
                "stride, pad)\n        )",
                "stride, pad) + 1e-4 * w\n        )",
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
                "gw = parallel.empty((*kernel_hw, big, small), x.dtype)",
                'gw = parallel.scratch((*kernel_hw, big, small), x.dtype, "gw")',
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
                conv2d.conv2d_weight_grad,
                "total = parallel.empty(weights.shape, x.dtype)",
                "total = parallel.empty(weights.shape, np.float32)",
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
                ops.ConvTranspose2d.forward,
                "s * (h - 1) + kh - 2 * p, s * (v - 1) + kw - 2 * p",
                "s * h + kh - 1 - 2 * p, s * v + kw - 1 - 2 * p",
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
                "np.where(argmax[image] == k, gy[image], 0)",
                "gy[image] / size**2",
            ),
        ),
        checks=("max_pool2d 2x2, stride 2, 6x8", "max_pool2d 3x3, stride 2, 7x8"),
        clue="the gradient of x (2, 6, 8, 3)",
    ),
    Bug(
        "pool-overwrites",
        "Where windows overlap a pixel keeps the gradient of one of them.",
        (
            Edit(
                pooling.max_pool2d_grad,
                "tap += np.where(argmax[image] == k, gy[image], 0)",
                "np.copyto(tap, gy[image], where=argmax[image] == k)",
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
        "Max pooling takes its stride for its size and its size for its stride.",
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
