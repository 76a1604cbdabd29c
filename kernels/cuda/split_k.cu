// Adds up the parts of long sums that several blocks have shared; see split_k.py.

#include "epilogue.cuh"

// y (m, c) from the sums (parts, m, c) of a convolution, under its epilogue.
__global__ void __launch_bounds__(256)
    finish_parts(const float *sums, int parts, int m, int c, float *y, bool scaled,
                 const float *scale, const float *shift, bool with_moments, Moments *partial) {
  const ScaledReLU<float> scaled_relu{scaled, scale, shift};
  const int channel = own_channel();
  const Moments all = moments_of_rows<float>(m, c, [&](int row) {
    double sum = 0;
    for (int i = 0; i < parts; i++) sum += sums[(i * m + row) * c + channel];
    return y[row * c + channel] = scaled_relu(sum, channel);
  });
  if (with_moments && threadIdx.y == 0 && channel < c) partial[blockIdx.y * c + channel] = all;
}

// out (count,): the sum of partial (parts, count) over its rows.
template <class T>
__global__ void __launch_bounds__(256) sum_parts(const T *partial, int parts, int count, T *out) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  double sum = 0;
  for (int i = 0; i < parts; i++) sum += partial[i * count + at];
  out[at] = sum;
}
