// Adds up the parts of a convolution that several blocks have shared; see split_k.py.

#include "epilogue.cuh"

// y (m, c) from the sums (parts, m, c) of a convolution, under its epilogue.
__global__ void __launch_bounds__(256)
    finish_parts(const float *sums, int parts, int m, int c, float *y, bool scaled,
                 const float *scale, const float *shift, bool with_moments, Moments *partial,
                 bool with_grad_sums, const float *x, const float *mean, GradSums *grad_sums) {
  const Epilogue epilogue{scaled,         scale, shift, with_moments, partial,
                          with_grad_sums, x,     mean,  grad_sums};
  const int channel = own_channel(), place = blockIdx.y * c + channel;
  const bool writes = threadIdx.y == 0 && channel < c;
  Gathered<float> values;
  GradSums of_gradient = {};
  if (channel < c)
    for (int row = first_row(); row < m; row += row_step()) {
      const int at = row * c + channel;
      double sum = 0;
      for (int i = 0; i < parts; i++) sum += sums[i * m * c + at];
      const float value = epilogue.scaled_relu()(sum, channel);
      y[at] = value;
      if (with_moments) values.add(value);
      if (with_grad_sums && epilogue.passes(x[at], channel))
        of_gradient = merge(of_gradient, {value, value * (double(x[at]) - mean[channel])});
    }
  if (with_moments) {
    const Moments all = merge_gathered(values);
    if (writes) partial[place] = all;
  }
  if (with_grad_sums) {
    const GradSums all = merge_rows(of_gradient);
    if (writes) grad_sums[place] = all;
  }
}
