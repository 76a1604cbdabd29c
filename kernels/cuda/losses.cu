// Losses over all pixels of a batch; see losses.py for the formulas. T is float or double.
//
// `logits` and `mask` have n elements, the mask true on crack. t is the logit turned such that
// sigmoid(t) is the probability of the wrong answer: -x on crack and x elsewhere. A loss says
//
//     term(t)     its share of the sum         slope(t)    the derivative of that by t
//     weights     of a crack pixel and of any other
//
// so that it is w.on_crack * (sum of the terms on crack) + w.elsewhere * (sum elsewhere), and its
// gradient -w.on_crack * slope(-x) on crack and w.elsewhere * slope(x) elsewhere.
//
// Sums are taken in double, in two passes.

#include "rows.cuh"

template <class T>
__device__ T sigmoid(T x) {
  const T e = exp(-fabs(x));  // never overflows
  return (x >= 0 ? T(1) : e) / (1 + e);
}

// -log of the probability of the true label: log(1 + exp(t)).
template <class T>
__device__ T surprise(T t) {
  return max(t, T(0)) + log1p(exp(-fabs(t)));
}

// Over a batch: its crack pixels, and the sum of the terms on crack and elsewhere. Of the F1 score
// the three numbers of Eq. 6: n_pos, sum_pos, sum_all.
struct Sums {
  double n_pos, on_crack, elsewhere;
};

__device__ Sums merge(Sums a, Sums b) {
  return {a.n_pos + b.n_pos, a.on_crack + b.on_crack, a.elsewhere + b.elsewhere};
}

struct Weights {
  double on_crack, elsewhere;
};

struct CrossEntropy {
  static constexpr bool sums_all = false;
  template <class T>
  __device__ static T term(T t, bool, T) {
    return surprise(t);
  }
  template <class T>
  __device__ static T slope(T t, T) {
    return sigmoid(t);
  }
  __device__ static Weights weights(const Sums *, double n, double) { return {1 / n, 1 / n}; }
};

struct Balanced : CrossEntropy {
  __device__ static Weights weights(const Sums *sums, double n, double) {
    return {1 / max(sums->n_pos, 1.), 1 / max(n - sums->n_pos, 1.)};
  }
};

struct Focal {
  static constexpr bool sums_all = false;
  template <class T>
  __device__ static T term(T t, bool, T gamma) {
    return pow(sigmoid(t), gamma) * surprise(t);
  }
  template <class T>
  __device__ static T slope(T t, T gamma) {
    const T wrong = sigmoid(t);
    return pow(wrong, gamma) * (wrong + gamma * sigmoid(-t) * surprise(t));
  }
  __device__ static Weights weights(const Sums *, double n, double alpha) {
    return {alpha / n, (1 - alpha) / n};
  }
};

struct Linear {
  static constexpr bool sums_all = false;
  template <class T>
  __device__ static T term(T t, bool, T) {
    return -sigmoid(-t);
  }
  template <class T>
  __device__ static T slope(T t, T) {
    return sigmoid(t) * sigmoid(-t);
  }
  __device__ static Weights weights(const Sums *, double n, double) { return {1 / n, 1 / n}; }
};

// Eq. 6 to 8. Its terms are sigma, whatever the label; the loss itself is no weighted sum.
struct F1 {
  static constexpr bool sums_all = true;
  static constexpr double floor = 1e-12;  // keeps gradients finite at saturated logits
  template <class T>
  __device__ static T term(T t, bool crack, T) {
    return sigmoid(crack ? -t : t);
  }
  template <class T>
  __device__ static T slope(T t, T) {
    return sigmoid(t) * sigmoid(-t);
  }
  __device__ static double sum_pos(const Sums *sums) { return max(sums->on_crack, floor); }
  __device__ static double total(const Sums *sums) {
    return max(sums->n_pos + sums->elsewhere, floor);
  }
  __device__ static Weights weights(const Sums *sums, double, double) {
    return {1 / sum_pos(sums) - 1 / total(sums), 1 / total(sums)};  // |Eq. 7|
  }
};

// Eq. 11: the weights of F1, the slope of cross-entropy.
struct PseudoF1 : F1 {
  template <class T>
  __device__ static T slope(T t, T) {
    return sigmoid(t);
  }
};

// y (n,) = sigmoid(x).
template <class T>
__global__ void __launch_bounds__(256) sigmoid_of(const T *x, int n, T *y) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = sigmoid(x[i]);
}

// The sums over each block's pixels: partial (gridDim.y,). Pixels are rows of one channel.
template <class T, class Loss>
__global__ void __launch_bounds__(256)
    block_sums(const T *logits, const bool *mask, int n, T gamma, Sums *partial) {
  Sums own = {};
  for (int i = first_row(); i < n; i += row_step()) {
    const bool crack = mask[i];
    const T term = Loss::term(crack ? -logits[i] : logits[i], crack, gamma);
    own.n_pos += crack;
    if (crack) own.on_crack += term;
    if (!crack || Loss::sums_all) own.elsewhere += term;
  }
  const Sums all = merge_rows(own);
  if (threadIdx.y == 0) partial[blockIdx.y] = all;
}

__global__ void __launch_bounds__(256) merge_sums(const Sums *partial, int blocks, Sums *sums) {
  const Sums all = merge_blocks(partial, blocks, 1);
  if (threadIdx.y == 0) *sums = all;
}

// The loss from its sums. One thread.
template <class Loss>
__global__ void __launch_bounds__(1)
    weighted_sum(const Sums *sums, int n, double alpha, double *loss) {
  const Weights w = Loss::weights(sums, n, alpha);
  *loss = w.on_crack * sums->on_crack + w.elsewhere * sums->elsewhere;
}

// -log(f1), Eq. 6; infinite for a batch without a crack pixel. One thread.
__global__ void __launch_bounds__(1) f1_loss(const Sums *sums, double *loss) {
  *loss = sums->n_pos == 0 ? -log(0.) : log(F1::total(sums) / 2) - log(F1::sum_pos(sums));
}

// g (n,), the gradient by the logits. `sums` are read where the weights depend on them: by the F1
// losses, and by the balanced one for n_pos.
template <class T, class Loss>
__global__ void __launch_bounds__(256)
    weighted_grad(const T *logits, const bool *mask, int n, const Sums *sums, double alpha, T gamma,
                  T *g) {
  const Weights w = Loss::weights(sums, n, alpha);
  const T on_crack = w.on_crack, elsewhere = w.elsewhere;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    g[i] = mask[i] ? -on_crack * Loss::slope(-logits[i], gamma)
                   : elsewhere * Loss::slope(logits[i], gamma);
}
