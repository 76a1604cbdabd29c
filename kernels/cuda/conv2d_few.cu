// The three convolution kernels where the larger image has few channels, up to 7: the first and
// last layers of the modules. kernels/conv2d.py has the formulas and the index letters.
//
// Memory is the limit of such a layer, and tensor cores would mostly multiply zeros. All numbers
// are float. Where the channels of the smaller image come in multiples of 4, 16 bytes are read and
// written at once.

#include "convolution.cuh"
#include "epilogue.cuh"
#include "primitives.cuh"

constexpr int most_terms = 64;  // taps times channels of the larger image

// A term of the sums over the taps and the channels of the larger image.
struct Term {
  int p, q, c;

  __device__ Term(const Convolution &conv, int number)
      : p(number / conv.big / conv.kw), q(number / conv.big % conv.kw), c(number % conv.big) {}
};

// A pixel of images of size (h, w).
struct Pixel {
  int b, i, j;

  __device__ Pixel(int h, int w, int number)
      : b(number / w / h), i(number / w % h), j(number % w) {}
};

// The window of a pixel of the smaller image at `term`; 0 outside the larger image.
__device__ float in_window(const Convolution &conv, const float *x, Pixel pixel, Term term) {
  const int row = conv.stride * pixel.i + term.p - conv.pad;
  const int col = conv.stride * pixel.j + term.q - conv.pad;
  if (row < 0 || row >= conv.h || col < 0 || col >= conv.w) return 0;
  return x[((pixel.b * conv.h + row) * conv.w + col) * conv.big + term.c];
}

__device__ void load4(float (&values)[4], const float *from) {
  const float4 v = *reinterpret_cast<const float4 *>(from);
  values[0] = v.x;
  values[1] = v.y;
  values[2] = v.z;
  values[3] = v.w;
}

// Writes the four channels from `channel` on, as far as they exist.
__device__ void store_channels(float *row, const float (&values)[4], int channel, int channels) {
  if (channels % 4 == 0)
    *reinterpret_cast<float4 *>(row + channel) =
        make_float4(values[0], values[1], values[2], values[3]);
  else
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (channel + i < channels) row[channel + i] = values[i];
}

// y (n, oh, ow, small) = windows (pixels, terms) w (terms, small). A block computes 128 pixels by
// 64 channels with all terms in shared memory, a thread 8 pixels by 4 channels.
__global__ void __launch_bounds__(256)
    conv2d_few(Convolution conv, const float *x, const float *w, float *y, bool scaled,
               const float *scale, const float *shift, bool with_moments, Moments *partial) {
  constexpr int most_rows = 128, columns = 64;
  float *windows = dynamic_shared<float>();           // (terms, most_rows)
  float *weights = windows + most_terms * most_rows;  // (terms, columns)
  const int terms = conv.kh * conv.kw * conv.big, pixels = conv.n * conv.oh * conv.ow;
  const int first_pixel = blockIdx.x * most_rows, first_channel = blockIdx.y * columns;

  const int row = threadIdx.x % most_rows;
  const Pixel pixel(conv.oh, conv.ow, first_pixel + row);
  for (int term = threadIdx.x / most_rows; term < terms; term += blockDim.x / most_rows)
    windows[term * most_rows + row] =
        first_pixel + row < pixels ? in_window(conv, x, pixel, Term(conv, term)) : 0;
  const int column = threadIdx.x % columns;
  for (int term = threadIdx.x / columns; term < terms; term += blockDim.x / columns)
    weights[term * columns + column] =
        first_channel + column < conv.small ? w[term * conv.small + first_channel + column] : 0;
  __syncthreads();

  const int own_row = threadIdx.x / 16 * 8, own_column = threadIdx.x % 16 * 4;
  float sum[8][4] = {};
  for (int term = 0; term < terms; term++) {
    float a[2][4], b[4];
    load4(a[0], windows + term * most_rows + own_row);
    load4(a[1], windows + term * most_rows + own_row + 4);
    load4(b, weights + term * columns + own_column);
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
      for (int j = 0; j < 4; j++) sum[i][j] += a[i / 4][i % 4] * b[j];
  }
  const ScaledReLU<float> scaled_relu{scaled, scale, shift};
  const int channel = first_channel + own_column;
  if (channel < conv.small) {
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (channel + j < conv.small)
#pragma unroll
        for (int i = 0; i < 8; i++) sum[i][j] = scaled_relu(sum[i][j], channel + j);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const int at = first_pixel + own_row + i;
      if (at < pixels) store_channels(y + at * conv.small, sum[i], channel, conv.small);
    }
  }
  if (!with_moments) return;
  __syncthreads();  // the windows are no longer read
  TileMoments *tiles = dynamic_shared<TileMoments>();  // (warps, columns)
  constexpr int height = 16;
  const int warp = threadIdx.x / 32, rows = pixels - first_pixel;
#pragma unroll
  for (int j = 0; j < 4; j++) {
    const TileMoments own = moments_of_lanes<8, 16>(
        rows_among(rows, warp * height, height), [&](int i) { return sum[i][j]; },
        [&](int i) { return own_row % height + i; });
    if (threadIdx.x % 32 < 16) tiles[warp * columns + own_column + j] = own;
  }
  merge_tiles(tiles, most_rows / height, height, columns, rows, conv.small - first_channel,
              partial + blockIdx.x * conv.small + first_channel);
}

// A lane's share of the sums over the channels of gy, for the pixel (s * cell.i + down,
// s * cell.j + right) of gx, s being the stride.
template <int big>
__device__ void add_products(const Convolution &conv, const float *gy, const float *w, Pixel cell,
                             int down, int right, float (&sum)[big]) {
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
          for (int c = 0; c < big; c++) sum[c] += from[k] * weights[c * conv.small + k];
        continue;
      }
#pragma unroll 1
      for (int k = threadIdx.x * 4; k < conv.small; k += blockDim.x * 4) {
        float g[4];
        load4(g, from + k);
#pragma unroll
        for (int c = 0; c < big; c++) {
          float f[4];
          load4(f, weights + c * conv.small + k);
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
    conv2d_input_grad_few(Convolution conv, const float *gy, const float *w, float *gx, bool scaled,
                          const float *scale, const float *shift, bool with_moments,
                          Moments *partial) {
  constexpr int lanes = 8;
  const ScaledReLU<float> scaled_relu{scaled, scale, shift};
  const int lane = threadIdx.x, s = conv.stride;
  const int cells_down = (conv.h + s - 1) / s, cells_across = (conv.w + s - 1) / s;
  Gathered<float> own;  // of channel `lane`
  // All rows of a block take part each time, since lanes of a warp exchange their sums.
  for (int first = blockIdx.x * blockDim.y; first < conv.n * cells_down * cells_across;
       first += gridDim.x * blockDim.y) {
    const Pixel cell(cells_down, cells_across, first + threadIdx.y);
    for (int pixel = 0; pixel < s * s; pixel++) {
      const int down = pixel / s, right = pixel % s;
      float sum[big] = {}, result = 0;
      add_products(conv, gy, w, cell, down, right, sum);
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

// parts (gridDim.y, terms, small): windows.T (terms, pixels) gy (pixels, small), each part summed
// over a share of the pixels. A block computes all terms by 64 channels, 32 pixels a step, a thread
// 4 terms by 4 channels.
__global__ void __launch_bounds__(256)
    conv2d_weight_grad_few(Convolution conv, const float *x, const float *gy, float *parts) {
  constexpr int columns = 64, step = 32;
  float *windows = dynamic_shared<float>();       // (step, most_terms)
  float *gradient = windows + step * most_terms;  // (step, columns)
  const int terms = conv.kh * conv.kw * conv.big, pixels = conv.n * conv.oh * conv.ow;
  const int first_channel = blockIdx.x * columns;
  const int share = (pixels + gridDim.y - 1) / gridDim.y;
  const int stop = min((int(blockIdx.y) + 1) * share, pixels);

  const int number = threadIdx.x % most_terms, channel = first_channel + threadIdx.x % columns;
  const Term term(conv, number);
  const int own_row = threadIdx.x / 16 * 4, own_column = threadIdx.x % 16 * 4;
  float sum[4][4] = {};
  for (int first = blockIdx.y * share; first < stop; first += step) {
    for (int i = threadIdx.x / most_terms; i < step; i += blockDim.x / most_terms) {
      const bool inside = first + i < stop;
      windows[i * most_terms + number] =
          inside && number < terms ? in_window(conv, x, Pixel(conv.oh, conv.ow, first + i), term)
                                   : 0;
      gradient[i * columns + threadIdx.x % columns] =
          inside && channel < conv.small ? gy[(first + i) * conv.small + channel] : 0;
    }
    __syncthreads();
    float part[4][4] = {};  // short sums are kept apart: long ones would lose digits
    for (int i = 0; i < step; i++) {
      float a[4], b[4];
      load4(a, windows + i * most_terms + own_row);
      load4(b, gradient + i * columns + own_column);
#pragma unroll
      for (int j = 0; j < 4; j++)
#pragma unroll
        for (int k = 0; k < 4; k++) part[j][k] += a[j] * b[k];
    }
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
      for (int k = 0; k < 4; k++) sum[j][k] += part[j][k];
    __syncthreads();
  }
  if (first_channel + own_column >= conv.small) return;
#pragma unroll
  for (int j = 0; j < 4; j++)
    if (own_row + j < terms)
      store_channels(parts + (blockIdx.y * terms + own_row + j) * conv.small, sum[j],
                     first_channel + own_column, conv.small);
}
