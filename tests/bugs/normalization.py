"""Bugs of batch norm, of the fused block and of Adam."""

from minispiral import fused, nn, ops
from minispiral.kernels.cpu import adam, batchnorm
from tests.bugs.bug import Bug, Edit

NORMALIZATION = (
    Bug(
        "norm-without-mean",
        "The backward pass treats the mean as a constant.",
        (Edit(batchnorm.normalize_grad, "-a * all_gbeta / m - b * mean", "-b * mean"),),
        checks=("batch_norm, own moments", "BatchNorm, training"),
        clue="the gradient of x (2, 3, 5, 4)",
    ),
    Bug(
        "norm-without-variance",
        "The backward pass treats the variance as a constant.",
        (Edit(batchnorm.normalize_grad, "-a * inv * all_ggamma / m", "0 * a"),),
        checks=("batch_norm, own moments", "ConvNormReLU fused, training"),
        clue="the gradient of x (2, 3, 5, 4)",
    ),
    Bug(
        "norm-eps-outside",
        "eps is added to the standard deviation, not to the variance.",
        (
            Edit(
                batchnorm.scale_shift,
                "np.sqrt(var.astype(_wide(var)) + eps)",
                "(np.sqrt(var) + eps)",
            ),
            Edit(
                batchnorm.normalize_grad,
                "np.sqrt(var.astype(np.float64) + eps)",
                "(np.sqrt(var) + eps)",
            ),
        ),
        checks=("batch_norm, own moments", "batch_norm, given moments"),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "norm-eps-twice",
        "eps is added twice, forward and backward alike.",
        (
            Edit(batchnorm.scale_shift, "+ eps", "+ 2 * eps"),
            Edit(batchnorm.normalize_grad, "+ eps", "+ 2 * eps"),
        ),
        checks=("batch_norm, own moments", "BatchNorm, evaluation"),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "norm-eps-forward-only",
        "The backward pass leaves eps out.",
        (Edit(batchnorm.normalize_grad, "+ eps", "+ 0"),),
        checks=("batch_norm, own moments", "BatchNorm, training"),
        clue="the gradient of x (2, 3, 5, 4)",
    ),
    Bug(
        "norm-unbiased",
        "The batch is normalised by its unbiased variance.",
        (
            Edit(
                batchnorm.merge_moments,
                "np.maximum(squares, 0) / values",
                "np.maximum(squares, 0) / (values - 1)",
            ),
        ),
        checks=("batch_norm, own moments", "BatchNorm, training"),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "norm-merged-without-distance",
        "Merging the moments of tiles ignores how far their means are apart.",
        (
            Edit(
                batchnorm._merge,
                "squares.sum(0) + counts @ (means - mean) ** 2",
                "squares.sum(0)",
            ),
        ),
        checks=("conv_norm_relu, own moments", "ConvNormReLU fused, training", "unet 1-3"),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "norm-first-picture",
        "The moments are those of the first picture, not of the batch.",
        (Edit(ops.BatchNorm.forward, "batchnorm.moments(x)", "batchnorm.moments(x[:1])"),),
        checks=("batch_norm, own moments", "BatchNorm, training"),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "norm-running-in-training",
        "Training normalises by the running statistics.",
        (Edit(nn.BatchNorm.constant_moments, "None if self.training else ", ""),),
        checks=("BatchNorm, training", "ConvNormReLU fused, training"),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "norm-training-in-evaluation",
        "In evaluation the backward pass treats the constant moments as functions of the input.",
        (Edit(ops.BatchNorm.backward, "self.constant is not None", "False"),),
        checks=("batch_norm, given moments", "BatchNorm, evaluation"),
        clue="the gradient of x (2, 3, 5, 4)",
    ),
    Bug(
        "norm-gamma-unscaled",
        "The gradient of gamma is not divided by the standard deviation.",
        (Edit(batchnorm.normalize_grad, "- mean * gbeta) * inv", "- mean * gbeta)"),),
        checks=("batch_norm, own moments", "batch_norm, given moments"),
        clue="the gradient of gamma (4,)",
    ),
    Bug(
        "norm-beta-averaged",
        "The gradient of beta is averaged over the pixels, not summed.",
        (
            Edit(
                batchnorm.normalize_grad,
                "gbeta.astype(x.dtype)",
                "(gbeta / m).astype(x.dtype)",
            ),
        ),
        checks=("batch_norm, own moments", "BatchNorm, evaluation"),
        clue="the gradient of beta (4,): 4 of 4 elements are wrong; each is 0.0333333 times",
    ),
    Bug(
        "fused-mask-before-shift",
        "The fused backward pass masks by the sign before beta is added.",
        (Edit(batchnorm.normalize_grad, "_tiled(-shift)", "_tiled(beta - shift)"),),
        checks=("conv_norm_relu, own moments", "ConvNormReLU fused, training"),
        clue="derivative: along a direction of",
    ),
    Bug(
        "fused-without-mask",
        "The fused backward pass forgets the ReLU.",
        (
            Edit(batchnorm.normalize_grad, "if relu:", "if False:"),
            Edit(batchnorm.normalize_grad, "out if relu else g", "g"),
        ),
        checks=("conv_norm_relu, own moments", "ConvNormReLU fused, training"),
        clue="derivative: along a direction of",
    ),
    Bug(
        "fused-training-in-evaluation",
        "In evaluation the fused backward pass treats the moments as functions of the input.",
        (Edit(fused.ConvNormReLU.backward, "self.moments is not None", "False"),),
        checks=("conv_norm_relu, given moments", "ConvNormReLU fused, evaluation"),
        clue="derivative: along a direction of",
    ),
    Bug(
        "running-variance-biased",
        "The running variance is the biased one.",
        (Edit(nn.BatchNorm.forward, "take * values / (values - 1)", "take"),),
        test="test_running_variance_is_the_unbiased_one",
    ),
    Bug(
        "running-momentum-reversed",
        "Running statistics keep a tenth of the past and take nine tenths from the batch.",
        (
            Edit(
                nn.BatchNorm.forward,
                "1 - self.momentum, self.momentum",
                "self.momentum, 1 - self.momentum",
            ),
        ),
        test="test_running_statistics_go_a_tenth_of_the_way",
    ),
    Bug(
        "running-variance-biased-fused",
        "The running variance of the fused block is the biased one.",
        (Edit(batchnorm._conclude, "take * values / (values - 1)", "take"),),
        test="test_the_fused_block_keeps_the_statistics_of_the_plain_one",
    ),
    Bug(
        "running-in-evaluation",
        "Evaluation updates the running statistics.",
        (Edit(nn.BatchNorm.forward, "if self.training:", "if values > 0:"),),
        checks=("BatchNorm, evaluation",),
        clue="buffers stay: running_mean moved in evaluation mode (and 1 more)",
    ),
    Bug(
        "adam-uncorrected",
        "Adam does not correct the bias of its moments.",
        (Edit(adam._update, "np.sqrt(1 - beta2**step)", "(1 - beta1**step)"),),
        test="test_adam_steps_by_its_learning_rate_and_ignores_the_scale_of_gradients",
    ),
)
