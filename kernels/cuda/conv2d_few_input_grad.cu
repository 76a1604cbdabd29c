// conv2d_input_grad where the larger image has few channels. kernels/conv2d.py has the formulas and
// the index letters; all numbers are float. gy may be an image that is yet to be normalised.

#include "epilogue.cuh"
#include "few_channels.cuh"

// A lane's share of the sums over the channels of gy, for the pixel (s * cell.i + down,
// s * cell.j + right) of gx, s being the stride. `normalize` is what becomes of gy.
template <int big>
__device__ void add_products(const Convolution &conv, const float *gy,
                             const ScaledReLU<float> &normalize, const float *w, Pixel cell, int down, int right, float (&sum)[big]) {
  const int s = conv.stride;
  // Tap p connects this row of gx to row i of gy where s * i + p - pad = s * cell.i + down: every
  // s-th tap does, each to the row of gy before the last one.
  const int first_p = (down + conv.pad) % s, first_q = (right + conv.pad) % s;
  const int first_i = cell.i + (down + conv.pad) / s, first_j = cell.j + (right + conv.pad) / s;
  for (int p = first_p, i = first_i; p < conv.kh; p += s, i--)
    for (int q = first_q, j = first_j; q < conv.kw; q += s, j--) {
      if (cell.b >= conv.n || i < 0 || i >= conv.oh || j < 0 || j >= conv.ow) continue;
      const float *from = gy + ((cell.b * conv.oh + i) * conv.ow + j) * conv.small;
      const float *weights = w + (p * conv.kw + q) * big * conv.small;
      if (conv.small % 4 != 0) {
#pragma unroll 1
        for (int k = threadIdx.x; k < conv.small; k += blockDim.x)
#pragma unroll
          for (int c = 0; c < big; c++)
            sum[c] += normalize(from[k], k) * weights[c * conv.small + k];
        continue;
      }
#pragma unroll 1
      for (int k = threadIdx.x * 4; k < conv.small; k += blockDim.x * 4) {
        float g[4];
        load_vector<4, 4>(g, from + k);
#pragma unroll
        for (int i = 0; i < 4; i++) g[i] = normalize(g[i], k + i);
#pragma unroll
        for (int c = 0; c < big; c++) {
          float f[4];
          load_vector<4, 4>(f, weights + c * conv.small + k);
          sum[c] += g[0] * f[0] + g[1] * f[1] + g[2] * f[2] + g[3] * f[3];
        }
      }
    }
}

// gx (n, h, w, big), which is divided into cells of stride x stride pixels. The eight lanes of a
// row of the block compute a cell together, each a share of the sums over channels, and then
// another.
template <int big>
__global__ void __launch_bounds__(256, 2)
    conv2d_input_grad_few(Convolution conv, const float *gy, bool normalized, const float *gy_scale,
                          const float *gy_shift, const float *w, float *gx, bool scaled,
                          const float *scale, const float *shift, bool with_moments,
                          Moments *partial) {
  constexpr int lanes = 8;
  const ScaledReLU<float> normalize{normalized, gy_scale, gy_shift};
  const ScaledReLU<float> scaled_relu{scaled, scale, shift};
  const int lane = threadIdx.x, s = conv.stride;
  const int cells_down = (conv.h + s - 1) / s, cells_across = (conv.w + s - 1) / s;
  Gathered<float> own;  // of channel `lane`
  // All rows of a block take part each time, since lanes of a warp exchange their sums.
  for (int first = blockIdx.x * blockDim.y; first < conv.n * cells_down * cells_across;
       first += gridDim.x * blockDim.y) {
    const Pixel cell(first + threadIdx.y, cells_down, cells_across);
    for (int pixel = 0; pixel < s * s; pixel++) {
      const int down = pixel / s, right = pixel % s;
      float sum[big] = {}, result = 0;
      add_products(conv, gy, normalize, w, cell, down, right, sum);
#pragma unroll
      for (int c = 0; c < big; c++) {
#pragma unroll
        for (int bits = lanes / 2; bits > 0; bits /= 2)
          sum[c] += __shfl_xor_sync(~0u, sum[c], bits);
        if (lane == c) result = sum[c];
      }
      const int row = s * cell.i + down, col = s * cell.j + right;
      if (lane >= big || cell.b >= conv.n || row >= conv.h || col >= conv.w) continue;
      result = scaled_relu(result, lane);
      gx[((cell.b * conv.h + row) * conv.w + col) * big + lane] = result;
      own.add(result);
    }
  }
  if (!with_moments) return;
  const Moments all = merge_gathered(own);
  if (threadIdx.y == 0 && lane < big) partial[blockIdx.x * big + lane] = all;
}

// The same for a kernel of 3 x 3 at stride 2 and channels in multiples of four, up to 256. Seen from
// the image with its padding, a cell of gx is 2 x 2 pixels from an even row and column on. Four lanes
// compute four cells side by side together, each a share of the sums over channels: a chunk of gy is
// read once for all pixels and taps. Only where it is
// `fused` is gy normalised and has gx an epilogue.
template <int big, bool fused>
__global__ void __launch_bounds__(256, big <= 2 ? 2 : 1)
    conv2d_input_grad_few_3x3(Convolution conv, const float *__restrict__ gy, bool normalized,
                              const float *gy_scale, const float *gy_shift,
                              const float *__restrict__ w, float *gx, bool scaled,
                              const float *scale, const float *shift, bool with_moments,
                              Moments *partial) {
  constexpr int lanes = 4, cells = 4, along = 2 * cells * big;  // numbers of a row of gx
  float *weights = dynamic_shared<float>();                     // (3, 3, big, small)
  const int thread = threadIdx.y;
  for (int i = 4 * thread; i < 9 * big * conv.small; i += 4 * 256)
    *reinterpret_cast<float4 *>(weights + i) = *reinterpret_cast<const float4 *>(w + i);
  __syncthreads();

  // Thread 0 has a number inside gx, as merge_gathered wants it.
  const int lane = thread % lanes ^ conv.pad % 2;
  const int skipped = conv.pad / 2;  // cells that are all padding
  const int down = (conv.h - 1 + conv.pad) / 2 + 1 - skipped;
  const int across = ((conv.w - 1 + conv.pad) / 2 + cells - skipped) / cells;
  const int count = conv.n * down * across;
  const ScaledReLU<float> scaled_relu{scaled, scale, shift};
  Gathered<float> own[big];
  constexpr int places = 256 / lanes;
  const int first = blockIdx.x * places, step = gridDim.x * places;
  Pixel place(first + thread / lanes, down, across);
  const Pixel distance(step, down, across);
  // All rows of a block take part each time, since lanes of a warp exchange their sums.
  for (int at = first; at < count; at += step) {
    // Rows i - 1 and i of gy and columns from j - 1 on reach these cells.
    const int i = place.i + skipped, j = place.j * cells + skipped;
    const bool exists = place.b < conv.n;
    const float *from = gy + ((place.b * conv.oh + i - 1) * conv.ow + j - 1) * conv.small;
    float sum[2 * along] = {};  // a row of gx, and the next
#pragma unroll 1
    for (int k = 4 * lane; k < conv.small; k += 4 * lanes) {
      float g[2][cells + 1][4];
      const Channels<1, 0, true> channels{k, conv.small};
      const auto inside = [&](int r, int q) {
        return exists && within(i - 1 + r, conv.oh) && within(j - 1 + q, conv.ow);
      };
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const float *chunk = from + r * conv.ow * conv.small + k;
#pragma unroll
        for (int q = 0; q < cells + 1; q++, chunk += conv.small)
          channels.load(g[r][q], chunk, inside(r, q));
      }
      if (fused && normalized) {
        const Normalization<1> normalization(gy_scale, gy_shift, channels);
#pragma unroll
        for (int r = 0; r < 2; r++)
#pragma unroll
          for (int q = 0; q < cells + 1; q++)
            if (inside(r, q)) normalization(g[r][q]);
      }
#pragma unroll
      for (int p = 0; p < 3; p++)
#pragma unroll
        for (int q = 0; q < 3; q++)
#pragma unroll
          for (int c = 0; c < big; c++) {
            float f[4];
            load_vector<4, 4>(f, weights + ((p * 3 + q) * big + c) * conv.small + k);
#pragma unroll
            for (int cell = 0; cell < cells; cell++) {
              const float *chunk = g[1 - p / 2][cell + 1 - q / 2];
              float &to = sum[p % 2 * along + (2 * cell + q % 2) * big + c];
#pragma unroll
              for (int m = 0; m < 4; m++) to += chunk[m] * f[m];
            }
          }
    }
    // Each lane gets every fourth sum.
#pragma unroll
    for (int bit = lanes / 2; bit > 0; bit /= 2)
#pragma unroll
      for (int v = 0; v < 2 * along; v++) {
        if (v % (2 * bit) >= bit || v % lanes >= 2 * bit) continue;
        const bool upper = lane & bit;
        const float given = upper ? sum[v] : sum[v + bit];
        sum[v] = (upper ? sum[v + bit] : sum[v]) + __shfl_xor_sync(~0u, given, bit);
      }
#pragma unroll
    for (int v = 0; v < 2 * along; v += lanes) {
      const int row = 2 * i - conv.pad + v / along;
      const int number = (2 * j - conv.pad) * big + v % along + lane;  // in the row
      if (!exists || !within(row, conv.h) || !within(number, conv.w * big)) continue;
      float result = sum[v];
      if constexpr (fused) {
        const int channel = (v % along + lane) % big;
        result = scaled_relu(result, channel);
        if (with_moments)
#pragma unroll
          for (int c = 0; c < big; c++)
            if (c == channel) own[c].add(result);
      }
      gx[(place.b * conv.h + row) * conv.w * big + number] = result;
    }
    place.advance(distance, down, across);
  }
  if (!fused || !with_moments) return;
#pragma unroll
  for (int c = 0; c < big; c++) {
    __syncthreads();  // the weights, or the last channel's sums, are no longer read
    const Moments all = merge_gathered(own[c]);
    if (thread == 0) partial[blockIdx.x * big + c] = all;
  }
}
