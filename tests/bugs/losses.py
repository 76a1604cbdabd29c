"""Bugs of the losses and of the networks."""

from minispiral import losses, nn
from minispiral.kernels.cpu import losses as kernels
from minispiral.networks import spiral, unet
from tests.bugs.bug import Bug, Edit

OWN_RULES = "pseudo-f1 by its own rules"

LOSSES = (
    Bug(
        "eq-8-sign",
        "Eq. 8 has the wrong sign.",
        (Edit(kernels.f1_grad, "return _weighted_grad(", "return -_weighted_grad("),),
        checks=("f1",),
        clue="each is -1 times what it should be",
    ),
    Bug(
        "eq-8-without-slope",
        "Eq. 8 lacks the slope of the sigmoid: it is Eq. 11.",
        (Edit(kernels.f1_grad, "slope=True", "slope=False"),),
        checks=("f1", OWN_RULES),
        clue="the gradient of logits (2, 7, 5, 1)",
    ),
    Bug(
        "eq-11-with-slope",
        "Eq. 11 has the slope of the sigmoid: it is Eq. 8.",
        (Edit(kernels.pseudo_f1_grad, "slope=False", "slope=True"),),
        checks=(OWN_RULES,),
        clue="product of Eq. 11",
    ),
    Bug(
        "eq-11-sum-of-positives",
        "Eq. 11 sums sigma over the crack pixels only.",
        (
            Edit(
                losses.PseudoF1.backward,
                "self.sums)",
                "self.sums._replace(sum_all=self.sums.sum_pos))",
            ),
        ),
        checks=(OWN_RULES,),
        clue="weights of Eq. 7",
    ),
    Bug(
        "eq-7-half",
        "Eq. 7 lacks its second term on crack.",
        (Edit(kernels.f1_weights, "1 / sum_pos - 1 / total,", "1 / sum_pos,"),),
        checks=("f1", OWN_RULES),
        clue="the gradient of logits (2, 7, 5, 1)",
    ),
    Bug(
        "eq-11-by-picture",
        "Eq. 11 sums over each picture, not over the batch.",
        (
            Edit(
                losses.PseudoF1.backward,
                "kernels.pseudo_f1_grad(self.logits, self.mask, self.sums)",
                "np.stack([kernels.pseudo_f1_grad(x, mask, kernels.f1_sums(x, mask)) "
                "for x, mask in zip(self.logits, self.mask)])",
            ),
        ),
        checks=(OWN_RULES,),
        clue="weights of Eq. 7",
    ),
    Bug(
        "eq-11-divided",
        "Eq. 11 is divided by the number of pixels.",
        (Edit(losses.PseudoF1.backward, ", gy)", ", gy) / self.logits.size"),),
        checks=(OWN_RULES,),
        clue="product of Eq. 11",
    ),
    Bug(
        "eq-11-sigma-on-crack",
        "On crack the gradients have sigma where 1 - sigma belongs.",
        (Edit(kernels._signed, "np.where(hits, -x[tile], x[tile])", "x[tile]"),),
        checks=("cross-entropy", OWN_RULES),
        clue="the gradient of logits (2, 7, 5, 1)",
    ),
    Bug(
        "f1-without-two",
        "F1 lacks its factor of 2.",
        (Edit(kernels.f1_loss, "np.log(total / 2)", "np.log(total)"),),
        checks=("f1", "pseudo-f1"),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "f1-constant-sum",
        "The sum over all pixels counts as a constant.",
        (Edit(kernels.f1_weights, "1 / sum_pos - 1 / total, 1 / total", "1 / sum_pos, 0 * total"),),
        checks=("f1",),
        clue="the gradient of logits (2, 7, 5, 1)",
    ),
    Bug(
        "cross-entropy-summed-backward",
        "The gradient of cross-entropy is not divided by the number of pixels.",
        (
            Edit(
                kernels.cross_entropy_grad, "_equal_weights(mask)", "(np.float64(1), np.float64(1))"
            ),
        ),
        checks=("cross-entropy",),
        clue="each is 70 times what it should be",
    ),
    Bug(
        "cross-entropy-summed",
        "Cross-entropy is not divided by the number of pixels, forward and backward alike.",
        (
            Edit(
                kernels._equal_weights,
                "1 / np.float64(mask.size), 1 / np.float64(mask.size)",
                "np.float64(1), np.float64(1)",
            ),
        ),
        checks=("cross-entropy",),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "cross-entropy-ignores-gy",
        "A loss hands back its own gradient, whatever comes after it.",
        (Edit(losses.PixelLoss.backward, ", gy)", ", 1)"),),
        checks=("cross-entropy", "spiral 1-2 and cross-entropy"),
        clue="zero gy: gy = 0 gives a gradient of logits that is not 0",
    ),
    Bug(
        "focal-constant-factor",
        "The focal factor counts as a constant.",
        (Edit(kernels.focal_grad, "(q + gamma * p * _surprise(t))", "q"),),
        checks=("focal",),
        clue="the gradient of logits (2, 7, 5, 1)",
    ),
    Bug(
        "skip-without-gradient",
        "U-Net's skip connections hand no gradient back.",
        (Edit(unet.UNet.forward, "[x, skips.pop()]", "[x, Tensor(skips.pop().data)]"),),
        checks=("wide-unet 1-3",),
        clue="the gradient of encoder.0.conv.w",
    ),
    Bug(
        "map-without-gradient",
        "The maps that a module sees hand no gradient back.",
        (
            Edit(
                spiral.SpiralNet.maps,
                "self._connect(maps)",
                "Tensor(self._connect(maps).data)",
            ),
        ),
        checks=("spiral 1-2 and cross-entropy",),
        clue="the gradient of stages.0.encoder.0.conv.w",
    ),
    Bug(
        "bias-without-gradient",
        "A layer adds its bias as a constant.",
        (Edit(nn.Conv2d.forward, "y + self.b", "y + self.b.data"),),
        checks=("Conv2d with bias", "Conv2d transposed with bias"),
        clue="the gradient of b (4,)",
    ),
)
