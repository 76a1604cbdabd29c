// The three convolution kernels for a kernel of 1 x 1 that makes one channel of `big`: the layer
// that mixes the maps of all modules. Images are x (pixels, big) and y (pixels,), weights (big,).
//
// Memory is the limit: all loads of a thread are on their way at once.

#include "epilogue.cuh"

// y[i] = sum_c x[i,c] * w[c].
template <int big>
__global__ void __launch_bounds__(256)
    conv2d_pointwise(const float *x, const float *w, int pixels, float *y, bool scaled,
                     const float *scale, const float *shift) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= pixels) return;
  float sum = 0;
#pragma unroll
  for (int c = 0; c < big; c++) sum += x[at * big + c] * w[c];
  y[at] = ScaledReLU<float>{scaled, scale, shift}(sum, 0);
}

// gx[i,c] = gy[i] * w[c]. A thread computes four numbers that lie side by side.
template <int big>
__global__ void __launch_bounds__(256)
    conv2d_input_grad_pointwise(const float *gy, const float *w, int pixels, float *gx, bool scaled,
                                const float *scale, const float *shift) {
  const ScaledReLU<float> scaled_relu{scaled, scale, shift};
  const int first = 4 * (blockIdx.x * blockDim.x + threadIdx.x), count = pixels * big;
  float values[4] = {};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int at = first + i;
    if (at < count) values[i] = scaled_relu(gy[at / big] * w[at % big], at % big);
  }
  if (first + 4 <= count)
    *reinterpret_cast<float4 *>(gx + first) =
        make_float4(values[0], values[1], values[2], values[3]);
  else
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (first + i < count) gx[first + i] = values[i];
}

// parts (gridDim.y, big): gw[c] = sum_i x[i,c] * gy[i], each summed over a share of the pixels.
template <int big>
__global__ void __launch_bounds__(256)
    conv2d_weight_grad_pointwise(const float *__restrict__ x, const float *__restrict__ gy,
                                 int pixels, float *parts) {
  constexpr int ahead = 4;  // pixels whose numbers are on their way together
  const int step = gridDim.y * blockDim.x;
  float sum[big] = {};
  for (int at = blockIdx.y * blockDim.x + threadIdx.x; at < pixels; at += ahead * step)
#pragma unroll
    for (int u = 0; u < ahead; u++) {
      const int pixel = at + u * step;
      const bool there = pixel < pixels;
      const float g = there ? gy[pixel] : 0;
#pragma unroll
      for (int c = 0; c < big; c++) sum[c] += there ? g * x[pixel * big + c] : 0;
    }
  float *sums = dynamic_shared<float>();  // (warps, big)
#pragma unroll
  for (int c = 0; c < big; c++) {
    const float of_warp = sum_of_lanes<1>(sum[c]);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32 * big + c] = of_warp;
  }
  __syncthreads();
  if (threadIdx.x >= big) return;
  double all = 0;
  for (int i = 0; i < 256 / 32; i++) all += sums[i * big + threadIdx.x];
  parts[blockIdx.y * big + threadIdx.x] = all;
}
