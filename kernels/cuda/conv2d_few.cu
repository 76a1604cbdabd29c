// conv2d where the larger image has few channels. kernels/conv2d.py has the formulas and the index
// letters; all numbers are float.

#include "epilogue.cuh"
#include "few_channels.cuh"

constexpr int block_pixels = 256, block_channels = 64;

// An image that is yet to be made, max(scale * x + shift, 0), and the mean of x.
struct NormalizedImage {
  const float *x, *scale, *shift, *mean;
};

// The sums of a block's pixels for the gradient of a batch norm and a ReLU, which made the `image`,
// to grad_sums (channels,); all threads call it. `gradient` has 8 pixels of a thread from `first` on
// in its channels, which eight lanes have between them.
template <class Channels>
__device__ void sum_for_gradient(const float (&gradient)[8][8], const NormalizedImage &image,
                                 const Channels &channels, int first, int pixels,
                                 GradSums *grad_sums) {
  TileGradSums *tiles = dynamic_shared<TileGradSums>();  // (warps, channels)
  const int warp = threadIdx.x / 32, column = channels.first % block_channels;
#pragma unroll
  for (int chunk = 0; chunk < 8; chunk += 4) {
    const typename Channels::Chunk own = channels.chunk(chunk);
    float scale[4], shift[4], mean[4];
    TileGradSums sums[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
      scale[j] = own.exists(j) ? image.scale[own.number(j)] : 0;
      shift[j] = own.exists(j) ? image.shift[own.number(j)] : 0;
    }
    own.load(mean, image.mean + own.first, true);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const int at = first + i;
      const bool there = at < pixels;
      float x[4], y[4];
      own.load(x, image.x + at * own.all + own.first, there);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const float normalized = fma(scale[j], x[j], shift[j]);
        y[j] = normalized < 0 || !there ? 0 : normalized;
      }
#pragma unroll
      for (int j = 0; j < 4; j++)
        if (y[j] > 0) sums[j].add(gradient[i][chunk + j], x[j] - mean[j]);
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
      TileGradSums tile;
      tile.g = sum_of_lanes<8>(sums[j].g);
      tile.g_centred = sum_of_lanes<8>(sums[j].g_centred);
      if (threadIdx.x % 32 < 8)
        tiles[warp * block_channels + column + channels.offset(chunk + j)] = tile;
    }
  }
  const int first_channel = blockIdx.y * block_channels;
  merge_tiles(tiles, 256 / 32, block_channels, channels.all - first_channel,
              grad_sums + first_channel);
}

// y (n, oh, ow, small) = windows (pixels, terms) w (terms, small), under its epilogue. A block
// computes 256 pixels by 64 channels with all terms in shared memory, a thread 8 pixels by 8
// channels. See few_channels.cuh for `big`.
template <int big>
__global__ void __launch_bounds__(256, 2)
    conv2d_few(Convolution conv, const float *__restrict__ x, const float *__restrict__ w, float *y,
               bool scaled, const float *scale, const float *shift, bool with_moments,
               Moments *partial, bool with_grad_sums, const float *before, const float *mean,
               GradSums *grad_sums) {
  constexpr int most_rows = block_pixels, columns = block_channels;
  constexpr int static_terms = big > 0 ? 9 * big : most_terms;
  float *windows = dynamic_shared<float>();             // (terms, most_rows)
  float *weights = windows + static_terms * most_rows;  // (terms, columns)
  const int terms = big > 0 ? 9 * big : conv.kh * conv.kw * conv.big;
  const int pixels = conv.n * conv.oh * conv.ow;
  const int first_pixel = blockIdx.x * most_rows, first_channel = blockIdx.y * columns;

  const int row = threadIdx.x, column = threadIdx.x % 16 * 4;
  Window<big>(conv, x, Pixel(first_pixel + row, conv.oh, conv.ow))
      .gather(first_pixel + row < pixels,
              [&](int term, float value) { windows[term * most_rows + row] = value; });
  const Channels<1, 0, (big > 0)> loaded{first_channel + column, conv.small};
  for (int term = threadIdx.x / 16; term < terms; term += 16) {
    float f[4];
    loaded.load(f, w + term * conv.small + loaded.first, true);
    *reinterpret_cast<float4 *>(weights + term * columns + column) =
        make_float4(f[0], f[1], f[2], f[3]);
  }
  __syncthreads();

  const int own_row = threadIdx.x / 8 * 8, own_column = threadIdx.x % 8 * 4;
  float sum[8][8] = {};
#pragma unroll 3
  for (int term = 0; term < terms; term++) {
    float a[8], b[8];
    load_vector<8, 4>(a, windows + term * most_rows + own_row);
#pragma unroll
    for (int j = 0; j < 8; j++) b[j] = weights[term * columns + own_column + j / 4 * 32 + j % 4];
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
      for (int j = 0; j < 8; j++) sum[i][j] += a[i] * b[j];
  }
  const Channels<2, 32, (big > 0)> channels{first_channel + own_column, conv.small};
  const ScaledReLU<float> scaled_relu{scaled, scale, shift};
  if (scaled)
#pragma unroll
    for (int j = 0; j < 8; j++)
      if (channels.exists(j))
#pragma unroll
        for (int i = 0; i < 8; i++) sum[i][j] = scaled_relu(sum[i][j], channels.number(j));
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const int at = first_pixel + own_row + i;
    if (at < pixels) channels.store(y + at * conv.small + channels.first, sum[i]);
  }
  const int rows = pixels - first_pixel, warp = threadIdx.x / 32;
  if (!with_moments && !with_grad_sums) return;
  __syncthreads();  // the windows are no longer read
  if (with_moments) {
    TileMoments *tiles = dynamic_shared<TileMoments>();  // (warps, columns)
#pragma unroll
    for (int j = 0; j < 8; j++) {
      const TileMoments own = moments_of_lanes<8, 8>(
          rows_among(rows, warp * 32, 32), [&](int i) { return sum[i][j]; },
          [&](int i) { return own_row % 32 + i; });
      if (threadIdx.x % 32 < 8) tiles[warp * columns + own_column + channels.offset(j)] = own;
    }
    merge_tiles(tiles, most_rows / 32, 32, columns, rows, conv.small - first_channel,
                partial + blockIdx.x * conv.small + first_channel);
  }
  if (with_grad_sums) {
    const NormalizedImage image{before, scale, shift, mean};
    sum_for_gradient(sum, image, channels, first_pixel + own_row, pixels,
                     grad_sums + blockIdx.x * conv.small);
  }
}
