"""Hints to the exercises, in stages: each says more than the one before, none is the answer."""

HINTS: dict[str, tuple[str, ...]] = {
    "1.1": (
        "Write the program as steps, one operation each, and give each step's result a gradient.",
        "y is used twice in y * y and once in z * y, and w in both w * x and + w: the parts add.",
        "Begin with gz = y and gy = z, the gradients of z * y.",
    ),
    "1.2": (
        "Subclass Function, keep x in forward, and multiply gy by the slope in backward.",
        "The slope is the sigmoid; minispiral.kernels.arithmetic.sigmoid does not overflow.",
        "log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), and np.log1p(v) is log(1 + v).",
    ),
    "1.3": (
        "Two kinds of axes were broadcast: those that shape lacks, and those where it has a 1.",
        "Sum the leading axes away first; what is left has as many axes as shape.",
        "Then sum with keepdims=True over the axes where shape is 1.",
    ),
    "2.1": (
        "The adjoint of a copy is a sum: each pixel of the rim adds to the pixel that it mirrors.",
        "Do the rows first, then the columns. What happens to a pixel that was copied twice?",
        "Row pad - 1 - k of the padded image mirrors row k + 1 of the image.",
    ),
    "2.2": (
        "Write the loop of the convolution itself first, with the taps dilation apart.",
        "Then swap the two arrays in its line, as for the adjoint of one row of pixels.",
        "gx[:, s*i + d*p, s*j + d*q] gets gy[:, i, j] @ w[p, q].T.",
    ),
    "2.3": (
        "Begin with one row of pixels, a kernel of 3 weights and no padding. Which pixels of gy "
        "contribute to gx[u], and through which taps?",
        "gx[u] is the sum of gy[u - q] * w[q]. A convolution reads gy[u + q' - P']: so which q' is "
        "which q?",
        "The kernel is turned by 180 degrees, and the channels change places.",
    ),
    "3.1": (
        "In evaluation batch norm is a * x + b with a = gamma / sqrt(var + eps).",
        "A factor for each output channel can be taken into the weights of that channel.",
        "The output channels are the last axis of w, or the last but one if it is transposed.",
    ),
    "3.2": (
        "Keep a count, a mean and a sum of squares about that mean, and merge each tile into them.",
        "The chapter merges tiles by their distances from the common mean.",
        "With d the distance of the two means: squares += S_t + d**2 * m * m_t / (m + m_t).",
    ),
    "3.3": (
        "Nothing changes in the derivation but the axis that the sums run over.",
        "There is no gamma: the arriving gradient takes the place of gamma times it.",
        "gx = (gy - mean(gy) - xhat * mean(gy * xhat)) / sqrt(v + eps), means over the channels.",
    ),
    "4.1": (
        "Write a function of the step alone, D(h), first.",
        "x + h * v makes a new array; x += would change the caller's.",
    ),
    "4.2": (
        "Which side of the kink is z on? Only its real part says so.",
        "On either side the function is z or -z, and both are analytic.",
        "np.where takes a condition and two arrays, also complex ones.",
    ),
    "4.3": (
        "The largest element of the true gradient, not of the claimed one, sets the scale.",
        "A difference is not exact enough. What else did the chapter have?",
        "One complex step for each element: move that element of a complex copy by 1e-40j.",
    ),
    "5.1": (
        "Write F_beta with S, A and N_1, as Eq. 6 does for beta = 1.",
        "F_beta = (1 + beta^2) S / (beta^2 N_1 + A).",
        "The derivative of its logarithm has two terms on crack and one elsewhere.",
    ),
    "5.2": (
        "On crack the term A - S does not change: both sums gain the same.",
        "So the weights are 1 / S on crack and 1 / (N_1 + A - S) elsewhere.",
        "1 - sigma(x) is sigma(-x), and the library's sigmoid does not overflow.",
    ),
    "5.3": (
        "The weights depend on frozen alone, the logarithms on logits alone.",
        "-log sigma(x) is log(1 + e^-x), which np.logaddexp(0, -x) computes.",
    ),
    "6.1": (
        "What a module sees depends on its place and on the connection, its layers on its depth.",
        "9 * ci * co + 2 * co for each layer; the first module sees 3 channels.",
        "The last layer has a weight for each channel that it sees, and one bias.",
    ),
    "6.2": (
        "Keep a list of the maps so far, and a function that says what the next one sees of them.",
        "The last layer sees the maps in the same way as a module would.",
        "x @ w with w of shape (channels, 1) is a 1 x 1 convolution.",
    ),
    "6.3": (
        "Go backwards: from the pixel of map k through module k, then through module k - 1.",
        "A decoder turns the interval a to b into ceil((a - 2) / 2) to floor(b / 2).",
        "An encoder turns it into 2a to 2b + 2. A module has its decoders behind its encoders.",
    ),
    "7.1": (
        "rng.integers(n) draws from 0 to n - 1: how many places has a patch in h rows?",
        "There are h - side + 1 of them.",
        "Flip photo and mask alike; a step of -1 in a slice turns an axis around.",
    ),
    "7.2": (
        "The mean of the batch moves the running mean by momentum of the way.",
        "The running variance takes the unbiased one: ddof=1, or m / (m - 1) times the biased one.",
    ),
    "7.3": (
        "Sort by falling score; the counts of true positives are a cumulative sum.",
        "Where scores are equal only the last of them is a threshold.",
        "np.flatnonzero(np.diff(sorted)) finds the places where the score changes.",
    ),
    "8.1": (
        "Which numbers does thread 0 of block 0 handle, if there are more numbers than threads?",
        "Neighbours must read neighbours: so the step from one to the next is the whole grid.",
        "Start at block * threads + thread, step by blocks * threads.",
    ),
    "8.2": (
        "What one thread reads, another may be about to overwrite: read, wait, write, wait.",
        "Keep the own sum in a local variable, and write it to shared after a barrier.",
        "Threads for which there is nothing to add must reach the barriers all the same.",
    ),
    "8.3": (
        "Split each matrix into two of TF32 numbers: the rounded one and the rounded rest.",
        "Of the four products, which one is as small as what was lost anyway?",
        "Add the two small products first, then the large one.",
    ),
    "9.1": (
        "View x as rows of 4096 numbers; tile scale and shift to rows of that length.",
        "np.multiply, np.add and np.maximum all take out=.",
        "np.maximum with a number is another operation than with an array of zeros.",
    ),
    "9.2": (
        "as_strided gives all windows as a view; only those of a tile are copied.",
        "Loop over images, then over the rows of the output in steps of r.",
        "view[n, i : i + r].reshape(-1, kh * kw * ci) is what multiply wants.",
    ),
    "9.3": (
        "A place in the list of results for each task makes the order certain.",
        "Let threads take the next number from a common counter, or use a pool of threads.",
        "concurrent.futures.ThreadPoolExecutor.map keeps the order and passes on exceptions.",
    ),
}
