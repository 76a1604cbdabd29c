// Batch norm, alone and followed by a ReLU; the formulas are in kernels/batchnorm.py.
//
// Arrays are (m, c): `m` values for each of `c` channels. T is float or double. What is kept per
// channel is computed in double, and so are all sums over rows.

#include "grad_sums.cuh"
#include "moments.cuh"

// The moments of each block's rows: partial (gridDim.y, c).
template <class T>
__global__ void __launch_bounds__(256) block_moments(const T *x, int m, int c, Moments *partial) {
  const int channel = own_channel();
  const Moments all = moments_of_rows<T>(m, c, [&](int row) { return x[row * c + channel]; });
  if (threadIdx.y == 0 && channel < c) partial[blockIdx.y * c + channel] = all;
}

// Mean and biased variance (c,) from the moments of the blocks.
template <class T>
__global__ void __launch_bounds__(256)
    merge_moments(const Moments *partial, int blocks, int c, T *mean, T *var) {
  const Moments all = merge_blocks(partial, blocks, c);
  if (threadIdx.y > 0 || own_channel() >= c) return;
  mean[own_channel()] = all.mean;
  var[own_channel()] = all.variance();
}

// Batch norm of one channel as scale * x + shift.
template <class T>
struct Affine {
  T scale, shift;

  __device__ Affine(T mean, T var, T gamma, T beta, double eps) {
    const double factor = gamma / sqrt(var + eps);
    scale = factor;
    shift = beta - mean * factor;
  }

  __device__ Affine(int channel, const T *mean, const T *var, const T *gamma, const T *beta,
                    double eps)
      : Affine(mean[channel], var[channel], gamma[channel], beta[channel], eps) {}

  __device__ T operator()(T x) const { return fma(scale, x, shift); }
};

// The same for a batch norm in training: its scale and shift (c,) too, and the running moments are
// moved towards the batch's.
template <class T>
__global__ void __launch_bounds__(256)
    merge_norm_moments(const Moments *partial, int blocks, int c, const T *gamma, const T *beta,
                       double eps, double momentum, T *mean, T *var, T *scale, T *shift,
                       T *running_mean, T *running_var) {
  const Moments all = merge_blocks(partial, blocks, c);
  const int channel = own_channel();
  if (threadIdx.y > 0 || channel >= c) return;
  const T own_mean = all.mean, own_var = all.variance();
  const Affine<T> affine(own_mean, own_var, gamma[channel], beta[channel], eps);
  mean[channel] = own_mean;
  var[channel] = own_var;
  scale[channel] = affine.scale;
  shift[channel] = affine.shift;
  if (all.count <= 1) return;
  const T keep = 1 - momentum, take = momentum;
  const T take_unbiased = momentum * all.count / (all.count - 1);
  running_mean[channel] = keep * running_mean[channel] + take * own_mean;
  running_var[channel] = keep * running_var[channel] + take_unbiased * own_var;
}

// Scale and shift (c,) of batch norm with known mean and variance. A thread makes one channel.
template <class T>
__global__ void __launch_bounds__(256)
    scale_shift(const T *mean, const T *var, const T *gamma, const T *beta, double eps, int c,
                T *scale, T *shift) {
  const int channel = own_channel();
  if (channel >= c) return;
  const Affine<T> affine(channel, mean, var, gamma, beta, eps);
  scale[channel] = affine.scale;
  shift[channel] = affine.shift;
}

// y (m, c), with `relu` followed by a ReLU.
template <class T, bool relu>
__global__ void __launch_bounds__(256)
    normalize(const T *x, const T *mean, const T *var, const T *gamma, const T *beta, double eps,
              int m, int c, T *y) {
  const int channel = own_channel();
  if (channel >= c) return;
  const Affine<T> affine(channel, mean, var, gamma, beta, eps);
  for (int row = first_row(); row < m; row += row_step()) {
    const T value = affine(x[row * c + channel]);
    y[row * c + channel] = relu && value < 0 ? T(0) : value;
  }
}

// The sums over each block's rows: partial (gridDim.y, c).
template <class T, bool relu>
__global__ void __launch_bounds__(256)
    block_grad_sums(const T *x, const T *gy, const T *mean, const T *var, const T *gamma,
                    const T *beta, double eps, int m, int c, GradSums *partial) {
  const int channel = own_channel();
  GradSums own = {};
  if (channel < c) {
    const Affine<T> affine(channel, mean, var, gamma, beta, eps);
    const double centre = mean[channel];
    for (int row = first_row(); row < m; row += row_step()) {
      const T value = x[row * c + channel];
      if (relu && !(affine(value) > 0)) continue;
      const double g = gy[row * c + channel];
      own.g += g;
      own.g_centred += g * (value - centre);
    }
  }
  const GradSums all = merge_rows(own);
  if (threadIdx.y == 0 && channel < c) partial[blockIdx.y * c + channel] = all;
}

// One part for each channel, merged (c,), from those of the blocks: what a process hands to the
// others where several share the batch.
template <class Part>
__global__ void __launch_bounds__(256)
    merge_parts(const Part *partial, int blocks, int c, Part *merged) {
  const Part all = merge_blocks(partial, blocks, c);
  if (threadIdx.y == 0 && own_channel() < c) merged[own_channel()] = all;
}

// ggamma and gbeta (c,), and the rows a, b and d of `coefficients` (3, c). Sorted by what changes
// from pixel to pixel, the formula of gx is gx = a * g + b * x + d. With `constant`, mean and var
// are given numbers, and b and d are 0.
template <class T>
__global__ void __launch_bounds__(256)
    merge_grad_sums(const GradSums *partial, int blocks, const T *mean, const T *var,
                    const T *gamma, double eps, bool constant, int m, int c, T *ggamma, T *gbeta,
                    T *coefficients) {
  const GradSums all = merge_blocks(partial, blocks, c);
  const int channel = own_channel();
  if (threadIdx.y > 0 || channel >= c) return;
  const double inv = 1 / sqrt(var[channel] + eps);
  const double a = gamma[channel] * inv;
  const double b = constant ? 0 : -a * inv * inv * all.g_centred / m;
  const double d = constant ? 0 : -a * all.g / m - b * mean[channel];
  ggamma[channel] = all.g_centred * inv;
  gbeta[channel] = all.g;
  coefficients[channel] = a;
  coefficients[c + channel] = b;
  coefficients[2 * c + channel] = d;
}

// gx (m, c). `beta` serves the mask of the ReLU only.
template <class T, bool relu>
__global__ void __launch_bounds__(256)
    apply_grad(const T *x, const T *gy, const T *mean, const T *var, const T *gamma, const T *beta,
               double eps, const T *coefficients, int m, int c, T *gx) {
  const int channel = own_channel();
  if (channel >= c) return;
  const Affine<T> affine(channel, mean, var, gamma, beta, eps);
  const T a = coefficients[channel];
  const T b = coefficients[c + channel];
  const T d = coefficients[2 * c + channel];
  for (int row = first_row(); row < m; row += row_step()) {
    const T value = x[row * c + channel];
    const T g = relu && !(affine(value) > 0) ? T(0) : gy[row * c + channel];
    gx[row * c + channel] = fma(a, g, fma(b, value, d));
  }
}
