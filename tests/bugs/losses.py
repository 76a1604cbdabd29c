"""Bugs of the losses and of the networks."""

from minispiral import losses, nn
from minispiral.kernels import loss_table
from minispiral.kernels.cpu import losses as cpu
from minispiral.networks import spiral, unet
from tests.bugs.bug import Bug, Edit

OWN_RULES = "pseudo-f1 by its own rules"

LOSSES = (
    Bug(
        "eq-8-sign",
        "Eq. 8 has the wrong sign.",
        (Edit(loss_table.OverlapLoss.slope, "return sigmoid", "return -sigmoid"),),
        checks=("f1",),
        clue="each is -1 times what it should be",
    ),
    Bug(
        "eq-8-without-slope",
        "Eq. 8 lacks the slope of the sigmoid: it is Eq. 11.",
        (Edit(loss_table.OverlapLoss.slope, " * sigmoid(-t)", ""),),
        checks=("f1", OWN_RULES),
        clue="the gradient of logits (2, 7, 5, 1)",
    ),
    Bug(
        "eq-11-with-slope",
        "Eq. 11 has the slope of the sigmoid: it is Eq. 8.",
        (Edit(loss_table.PseudoF1.slope, "sigmoid(t)", "sigmoid(t) * sigmoid(-t)"),),
        checks=(OWN_RULES,),
        clue="product of Eq. 11",
    ),
    Bug(
        "eq-11-sum-of-positives",
        "Eq. 11 sums sigma over the crack pixels only.",
        (
            Edit(
                losses.LossFunction.backward,
                "self.sums)",
                "self.sums if self.loss.exact else (*self.sums[:2], self.sums[1]))",
            ),
        ),
        checks=(OWN_RULES,),
        clue="weights of Eq. 7",
    ),
    Bug(
        "eq-7-half",
        "Eq. 7 lacks its second term on crack.",
        (Edit(loss_table.F1.weights, "1 / sum_pos - 1 / total,", "1 / sum_pos,"),),
        checks=("f1", OWN_RULES),
        clue="the gradient of logits (2, 7, 5, 1)",
    ),
    Bug(
        "eq-11-by-picture",
        "Eq. 11 sums over each picture, not over the batch.",
        (
            Edit(
                losses.LossFunction.backward,
                "kernels.gradient(self.loss, self.logits, self.mask, self.sums)",
                "np.stack([kernels.gradient(self.loss, x, m, kernels.sums(self.loss, x, m)) "
                "for x, m in zip(self.logits, self.mask)])",
            ),
        ),
        checks=(OWN_RULES,),
        clue="weights of Eq. 7",
    ),
    Bug(
        "eq-11-divided",
        "Eq. 11 is divided by the number of pixels.",
        (Edit(loss_table.PseudoF1.slope, "sigmoid(t)", "sigmoid(t) / t.size"),),
        checks=(OWN_RULES,),
        clue="product of Eq. 11",
    ),
    Bug(
        "eq-11-sigma-on-crack",
        "On crack the gradients have sigma where 1 - sigma belongs.",
        (Edit(cpu.gradient, "np.where(hits, -x[tile], x[tile])", "x[tile]"),),
        checks=("cross-entropy", OWN_RULES),
        clue="the gradient of logits (2, 7, 5, 1)",
    ),
    Bug(
        "f1-without-two",
        "F1 lacks its factor of 2.",
        (Edit(loss_table.F1.value, "np.log(total / 2)", "np.log(total)"),),
        checks=("f1", "pseudo-f1"),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "f1-constant-sum",
        "The sum over all pixels counts as a constant.",
        (
            Edit(
                loss_table.F1.weights,
                "1 / sum_pos - 1 / total, 1 / total",
                "1 / sum_pos, 0 * total",
            ),
        ),
        checks=("f1",),
        clue="the gradient of logits (2, 7, 5, 1)",
    ),
    Bug(
        "cross-entropy-summed-backward",
        "The gradient of cross-entropy is not divided by the number of pixels.",
        (Edit(loss_table.CrossEntropy.slope, "sigmoid(t)", "sigmoid(t) * t.size"),),
        checks=("cross-entropy",),
        clue="each is 70 times what it should be",
    ),
    Bug(
        "cross-entropy-summed",
        "Cross-entropy is not divided by the number of pixels, forward and backward alike.",
        (Edit(loss_table.CrossEntropy.weights, "1 / n, 1 / n", "1, 1"),),
        checks=("cross-entropy",),
        clue="values: the output is not what its oracle gives",
    ),
    Bug(
        "cross-entropy-ignores-gy",
        "A loss hands back its own gradient, whatever comes after it.",
        (Edit(losses.LossFunction.backward, ", gy)", ", 1)"),),
        checks=("cross-entropy", "spiral 1-2 and cross-entropy"),
        clue="zero gy: gy = 0 gives a gradient of logits that is not 0",
    ),
    Bug(
        "focal-constant-factor",
        "The focal factor counts as a constant.",
        (Edit(loss_table.Focal.slope, "(wrong + self.gamma * right * softplus(t))", "wrong"),),
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
