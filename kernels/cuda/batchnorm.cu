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
    normalize(const T *__restrict__ x, const T *mean, const T *var, const T *gamma, const T *beta,
              double eps, int m, int c, T *__restrict__ y) {
  const int channel = own_channel();
  if (channel >= c) return;
  const Affine<T> affine(channel, mean, var, gamma, beta, eps);
  in_batches<batch>(
      first_row(), m, row_step(), [&](int row) { return x[row * c + channel]; },
      [&](int row, T own) {
        const T value = affine(own);
        y[row * c + channel] = relu && value < 0 ? T(0) : value;
      });
}

// What one place has of the input and of the gradient behind: a number or several of each.
template <class Numbers>
struct Pixel {
  Numbers x, gy;
};

// The sums over each block's rows: partial (gridDim.y, c).
template <class T, bool relu>
__global__ void __launch_bounds__(256)
    block_grad_sums(const T *__restrict__ x, const T *__restrict__ gy, const T *mean, const T *var,
                    const T *gamma, const T *beta, double eps, int m, int c, GradSums *partial) {
  const int channel = own_channel();
  GradSums own = {};
  if (channel < c) {
    const Affine<T> affine(channel, mean, var, gamma, beta, eps);
    const double centre = mean[channel];
    in_batches<batch>(
        first_row(), m, row_step(),
        [&](int row) { return Pixel<T>{x[row * c + channel], gy[row * c + channel]}; },
        [&](int, const Pixel<T> &own_pixel) {
          if (relu && !(affine(own_pixel.x) > 0)) return;
          own.g += own_pixel.gy;
          own.g_centred += own_pixel.gy * (own_pixel.x - centre);
        });
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

// gx of one channel, its formula sorted by what changes from pixel to pixel: a * g + b * x + d, and
// g is gy where scale * x + shift > 0.
template <class T>
struct InputGrad {
  T a, b, d, scale, shift;

  template <bool relu>
  __device__ T of(T x, T gy) const {
    const bool passes = !relu || fma(scale, x, shift) > 0;
    const T g = passes ? gy : T(0);
    return fma(a, g, fma(b, x, d));
  }
};

// What the sums over all rows of a channel give. With `given` mean and var, gx does not depend on
// them.
template <class T>
struct ChannelGrad {
  T ggamma, gbeta;
  InputGrad<T> gx;

  __device__ ChannelGrad(GradSums all, int channel, const T *mean, const T *var, const T *gamma,
                         const T *beta, double eps, bool given, int m) {
    const Affine<T> affine(channel, mean, var, gamma, beta, eps);
    const double inv = 1 / sqrt(var[channel] + eps);
    const double a = gamma[channel] * inv;
    const double b = given ? 0 : -a * inv * inv * all.g_centred / m;
    const double d = given ? 0 : -a * all.g / m - b * mean[channel];
    ggamma = all.g_centred * inv;
    gbeta = all.g;
    gx = {T(a), T(b), T(d), affine.scale, affine.shift};
  }
};

// ggamma and gbeta (c,), and the numbers of gx of each channel as columns of `coefficients` (5, c).
template <class T>
__global__ void __launch_bounds__(256)
    merge_grad_sums(const GradSums *partial, int blocks, const T *mean, const T *var,
                    const T *gamma, const T *beta, double eps, bool given, int m, int c, T *ggamma,
                    T *gbeta, T *coefficients) {
  const GradSums all = merge_blocks(partial, blocks, c);
  const int channel = own_channel();
  if (threadIdx.y > 0 || channel >= c) return;
  const ChannelGrad<T> grad(all, channel, mean, var, gamma, beta, eps, given, m);
  ggamma[channel] = grad.ggamma;
  gbeta[channel] = grad.gbeta;
  coefficients[channel] = grad.gx.a;
  coefficients[c + channel] = grad.gx.b;
  coefficients[2 * c + channel] = grad.gx.d;
  coefficients[3 * c + channel] = grad.gx.scale;
  coefficients[4 * c + channel] = grad.gx.shift;
}

// gx (m, c) for `n` channels of each thread, which lie side by side.
template <int n, bool relu, class T>
__device__ void apply_grad_to(const T *__restrict__ x, const T *__restrict__ gy,
                              const T *__restrict__ coefficients, int m, int c,
                              T *__restrict__ gx) {
  using Numbers = Adjacent<T, n>;
  const int channel = n * own_channel();
  if (channel >= c) return;
  InputGrad<Numbers> columns;
  columns.a = load<Numbers>(coefficients + channel);
  columns.b = load<Numbers>(coefficients + c + channel);
  columns.d = load<Numbers>(coefficients + 2 * c + channel);
  columns.scale = load<Numbers>(coefficients + 3 * c + channel);
  columns.shift = load<Numbers>(coefficients + 4 * c + channel);
  in_batches<2>(
      first_row(), m, row_step(),
      [&](int row) {
        const int at = row * c + channel;
        return Pixel<Numbers>{load<Numbers>(x + at), load<Numbers>(gy + at)};
      },
      [&](int row, const Pixel<Numbers> &own) {
        Numbers result;
#pragma unroll
        for (int i = 0; i < n; i++) {
          const InputGrad<T> column{columns.a[i], columns.b[i], columns.d[i], columns.scale[i],
                                    columns.shift[i]};
          result[i] = column.template of<relu>(own.x[i], own.gy[i]);
        }
        store(gx + row * c + channel, result);
      });
}

// gx (m, c). With `wide` a thread has 16 bytes of channels: c is a multiple of as many, and arrays
// are aligned to them.
template <class T, bool relu>
__global__ void __launch_bounds__(256)
    apply_grad(const T *x, const T *gy, const T *coefficients, bool wide, int m, int c, T *gx) {
  if (wide)
    apply_grad_to<16 / sizeof(T), relu>(x, gy, coefficients, m, c, gx);
  else
    apply_grad_to<1, relu>(x, gy, coefficients, m, c, gx);
}

// Both in one launch, where parts are few: every block merges those of its channels.
template <class T, bool relu>
__global__ void __launch_bounds__(256)
    apply_grad_of_parts(const T *__restrict__ x, const T *__restrict__ gy, const GradSums *partial,
                        int blocks, const T *mean, const T *var, const T *gamma, const T *beta,
                        double eps, bool given, int m, int c, T *ggamma, T *gbeta,
                        T *__restrict__ gx) {
  const GradSums all = merge_blocks(partial, blocks, c);
  const int channel = own_channel();
  if (channel >= c) return;
  const ChannelGrad<T> grad(all, channel, mean, var, gamma, beta, eps, given, m);
  if (first_row() == 0) {
    ggamma[channel] = grad.ggamma;
    gbeta[channel] = grad.gbeta;
  }
  in_batches<batch>(
      first_row(), m, row_step(),
      [&](int row) { return Pixel<T>{x[row * c + channel], gy[row * c + channel]}; },
      [&](int row, const Pixel<T> &own) {
        gx[row * c + channel] = grad.gx.template of<relu>(own.x, own.gy);
      });
}
