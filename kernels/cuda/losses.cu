// Losses over all pixels of a batch. loss_table.py has the formulas: each loss is a struct here with
// the name of its class there, and with the parameters as members. T is float or double.
//
// `logits` and `mask` have n elements, the mask true on crack. With t = -x on crack and t = x
// elsewhere, sigmoid(t) is the probability of the wrong answer. A loss says
//
//     term(t)     what is summed: t for a PixelLoss, x for an OverlapLoss
//     value       from the sums
//     weights     of a crack pixel and of any other
//     slope(t)    so that the gradient is -w.on_crack * slope(-x) on crack and
//                 w.elsewhere * slope(x) elsewhere
//
// Sums are taken in double, in two passes.

#include "logistic.cuh"
#include "rows.cuh"

// The number of crack pixels, and the sums of the terms over these and over the others. The second
// sum of an OverlapLoss is over all pixels.
struct Sums {
  double n_pos, on_crack, elsewhere;
};

__device__ Sums merge(Sums a, Sums b) {
  return {a.n_pos + b.n_pos, a.on_crack + b.on_crack, a.elsewhere + b.elsewhere};
}

struct Weights {
  double on_crack, elsewhere;
};

struct PixelLoss {
  static constexpr bool overlap = false;
  template <class Loss>
  __device__ static double value(const Loss &loss, const Sums &sums, double n) {
    const Weights w = loss.weights(sums, n);
    return w.on_crack * sums.on_crack + w.elsewhere * sums.elsewhere;
  }
};

struct OverlapLoss {
  static constexpr bool overlap = true;
  template <class T>
  __device__ static T term(T x) {
    return sigmoid(x);
  }
  template <class T>
  __device__ static T slope(T t) {
    return sigmoid(t) * sigmoid(-t);
  }
};

constexpr double floor_of_denominators = 1e-12;  // keeps gradients finite at saturated logits

struct F1 : OverlapLoss {
  __device__ static double sum_pos(const Sums &sums) {
    return max(sums.on_crack, floor_of_denominators);
  }
  __device__ static double total(const Sums &sums) {
    return max(sums.n_pos + sums.elsewhere, floor_of_denominators);
  }
  __device__ static double value(const F1 &, const Sums &sums, double) {
    return sums.n_pos == 0 ? -log(0.) : log(total(sums) / 2) - log(sum_pos(sums));
  }
  __device__ static Weights weights(const Sums &sums, double) {
    return {1 / sum_pos(sums) - 1 / total(sums), 1 / total(sums)};
  }
};

struct PseudoF1 : F1 {
  template <class T>
  __device__ static T slope(T t) {
    return sigmoid(t);
  }
};

struct CrossEntropy : PixelLoss {
  template <class T>
  __device__ static T term(T t) {
    return softplus(t);
  }
  template <class T>
  __device__ static T slope(T t) {
    return sigmoid(t);
  }
  __device__ static Weights weights(const Sums &, double n) { return {1 / n, 1 / n}; }
};

struct Balanced : CrossEntropy {
  __device__ static Weights weights(const Sums &sums, double n) {
    return {1 / max(sums.n_pos, 1.), 1 / max(n - sums.n_pos, 1.)};
  }
};

struct Focal : PixelLoss {
  double alpha, gamma;
  template <class T>
  __device__ T term(T t) const {
    return pow(sigmoid(t), T(gamma)) * softplus(t);
  }
  template <class T>
  __device__ T slope(T t) const {
    const T wrong = sigmoid(t);
    return pow(wrong, T(gamma)) * (wrong + T(gamma) * sigmoid(-t) * softplus(t));
  }
  __device__ Weights weights(const Sums &, double n) const { return {alpha / n, (1 - alpha) / n}; }
};

struct Linear : PixelLoss {
  template <class T>
  __device__ static T term(T t) {
    return -sigmoid(-t);
  }
  template <class T>
  __device__ static T slope(T t) {
    return sigmoid(t) * sigmoid(-t);
  }
  __device__ static Weights weights(const Sums &, double n) { return {1 / n, 1 / n}; }
};

struct Tversky : OverlapLoss {
  double alpha, beta;
  __device__ double denominator(const Sums &sums) const {
    const double errors =
        alpha * (sums.elsewhere - sums.on_crack) + beta * (sums.n_pos - sums.on_crack);
    return max(sums.on_crack + errors, floor_of_denominators);
  }
  __device__ static double value(const Tversky &loss, const Sums &sums, double) {
    return 1 - sums.on_crack / loss.denominator(sums);
  }
  __device__ Weights weights(const Sums &sums, double) const {
    const double square = denominator(sums) * denominator(sums);
    return {(alpha * (sums.elsewhere - sums.on_crack) + beta * sums.n_pos) / square,
            alpha * sums.on_crack / square};
  }
};

// The sums over each block's pixels: partial (gridDim.y,). Pixels are rows of one channel.
template <class T, class Loss>
__global__ void __launch_bounds__(256)
    block_sums(const T *logits, const bool *mask, int n, Loss loss, Sums *partial) {
  Sums own = {};
  for (int i = first_row(); i < n; i += row_step()) {
    const bool crack = mask[i];
    const T term = loss.term(crack && !Loss::overlap ? -logits[i] : logits[i]);
    own.n_pos += crack;
    if (crack) own.on_crack += term;
    if (!crack || Loss::overlap) own.elsewhere += term;
  }
  const Sums all = merge_rows(own);
  if (threadIdx.y == 0) partial[blockIdx.y] = all;
}

__global__ void __launch_bounds__(256) merge_sums(const Sums *partial, int blocks, Sums *sums) {
  const Sums all = merge_blocks(partial, blocks, 1);
  if (threadIdx.y == 0) *sums = all;
}

// One thread.
template <class Loss>
__global__ void __launch_bounds__(1) loss_value(const Sums *sums, int n, Loss loss, double *value) {
  *value = Loss::value(loss, *sums, n);
}

// g (n,), what the loss hands back to its logits, of a batch with `whole` pixels.
template <class T, class Loss>
__global__ void __launch_bounds__(256)
    loss_gradient(const T *logits, const bool *mask, int n, int whole, const Sums *sums, Loss loss,
                  T *g) {
  const Weights w = loss.weights(*sums, whole);
  const T on_crack = w.on_crack, elsewhere = w.elsewhere;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    g[i] = mask[i] ? -on_crack * loss.slope(-logits[i]) : elsewhere * loss.slope(logits[i]);
}
