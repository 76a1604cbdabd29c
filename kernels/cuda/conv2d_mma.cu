// The three convolution kernels on the tensor cores, for float32; kernels/conv2d.py has the
// formulas and the index letters. Where channels come in multiples of 4, 16 bytes are copied at
// once, else (`narrow` tilings) 4.
//
// Each is a product of matrices that are never written out: in each step a block gathers a tile of
// the windows, and a tile of the weights or of the gradient, into shared memory.
//
//     conv2d              y (pixels, small)    = windows (pixels, taps*big) w (taps*big, small)
//     conv2d_input_grad   gx (pixels, big)     = windows of gy (pixels, taps*small) w (.., big)
//     conv2d_weight_grad  gw (taps*big, small) = windows.T (taps*big, pixels) gy (pixels, small)
//
// Sums can be shared among gridDim.z blocks (split-K), each of which writes a part of its own:
// parts (gridDim.z, size of the result).

#include "convolution.cuh"
#include "epilogue.cuh"
#include "matrix_product.cuh"

__device__ inline bool within(int index, int size) { return unsigned(index) < unsigned(size); }

// How far the sums over taps and channels have come. A step adds `terms` channels of one tap.
template <int terms>
struct Progress {
  int columns, channels;  // of the kernel, of the image
  int p, q, channel;

  __device__ Progress(int columns, int channels, int step) : columns(columns), channels(channels) {
    const int steps = (channels + terms - 1) / terms;  // of one tap
    p = step / steps / columns;
    q = step / steps % columns;
    channel = step % steps * terms;
  }

  __device__ void advance() {
    channel += terms;
    if (channel < channels) return;
    channel = 0;
    if (++q < columns) return;
    q = 0;
    p++;
  }
};

// The windows of an image as rows of a matrix. A window begins at a pixel; tap (p, q) is the pixel
// at a distance of `direction` * (p, q) from there.
template <class T, int direction>
struct Windows {
  using Tile = TermsTogether<T::m, T::k>;
  static constexpr int own = Tile::chunks / T::threads;

  const float *image;
  int h, w, channels;
  int row[own], col[own], offset[own];

  __device__ Windows(const float *image, int h, int w, int channels)
      : image(image), h(h), w(w), channels(channels) {}

  // For a chunk of this thread: the pixel where its window begins.
  __device__ void begin_at(int chunk, int b, int first_row, int first_col) {
    row[chunk] = first_row;
    col[chunk] = first_col;
    const int term = Tile::chunk_term(threadIdx.x + chunk * T::threads);
    offset[chunk] = ((b * h + first_row) * w + first_col) * channels + term;
  }
  // For a chunk of this thread: zeros.
  __device__ void empty(int chunk) {
    row[chunk] = col[chunk] = -(1 << 20);
    offset[chunk] = 0;
  }

  __device__ void load(float *tile, const Progress<T::k> &at) const {
    const int down = direction * at.p, right = direction * at.q;
    const int step = (down * w + right) * channels + at.channel;
#pragma unroll
    for (int i = 0; i < own; i++) {
      const int chunk = threadIdx.x + i * T::threads;
      const int term = Tile::chunk_term(chunk);
      const bool inside = within(row[i] + down, h) && within(col[i] + right, w);
      const int count = inside ? channels - at.channel - term : 0;
      const float *from = count > 0 ? image + offset[i] + step : image;
      copy_chunk<T>(tile + Tile::at(Tile::chunk_row(chunk), term), from, count);
    }
  }
};

// The epilogue of a tile of the output, which has `channels` channels. The tile begins at
// `first_channel` and has `rows` pixels.
template <class T>
__device__ void finish(Result<T> &result, const ScaledReLU<float> &scaled_relu, int rows,
                       int first_channel, int channels, bool with_moments, Moments *partial) {
  result.change([&](int column, float x) {
    const int channel = first_channel + column;
    return channel < channels ? scaled_relu(x, channel) : x;
  });
  if (!with_moments) return;
  TileMoments *tiles = dynamic_shared<TileMoments>();
  __syncthreads();  // the operands are no longer read
  result.moments_of_columns(rows, tiles);
  merge_tiles(tiles, T::m / T::warp_m, T::warp_m, T::n, rows, channels - first_channel,
              partial + blockIdx.x * channels + first_channel);
}

// y or parts of it. Blocks: pixels / T::m, small / T::n, parts.
template <class T>
__global__ void __launch_bounds__(256, 2)
    conv2d_mma(Convolution conv, const float *x, const float *w, float *parts, bool scaled,
               const float *scale, const float *shift, bool with_moments, Moments *partial) {
  const int pixels = conv.n * conv.oh * conv.ow;
  const int first_pixel = blockIdx.x * T::m, first_channel = blockIdx.y * T::n;

  using A = Windows<T, 1>;
  A windows(x, conv.h, conv.w, conv.big);
  for (int chunk = 0; chunk < A::own; chunk++) {
    const int pixel = first_pixel + A::Tile::chunk_row(threadIdx.x + chunk * T::threads);
    const int i = pixel / conv.ow % conv.oh, j = pixel % conv.ow;
    if (pixel < pixels)
      windows.begin_at(chunk, pixel / conv.ow / conv.oh, conv.stride * i - conv.pad,
                       conv.stride * j - conv.pad);
    else
      windows.empty(chunk);
  }
  using B = RowsTogether<T::n, T::k>;
  Matrix<T, B> weights{w, conv.small, first_channel};

  const Share share(conv.kh * conv.kw * ((conv.big + T::k - 1) / T::k));
  Progress<T::k> at(conv.kw, conv.big, share.first);
  Result<T> result;
  multiply<typename A::Tile, B>(result, share.count, [&](float *a_tile, float *b_tile) {
    windows.load(a_tile, at);
    const int first_row = (at.p * conv.kw + at.q) * conv.big;
    weights.load(b_tile, first_row + at.channel, first_row + conv.big);
    at.advance();
  });

  const ScaledReLU<float> scaled_relu{scaled, scale, shift};
  finish(result, scaled_relu, pixels - first_pixel, first_channel, conv.small, with_moments,
         partial);
  float *y = parts + blockIdx.z * pixels * conv.small;
  result.for_each_pair([&](int tile_row, int tile_column, float first, float second) {
    const int pixel = first_pixel + tile_row, channel = first_channel + tile_column;
    if (pixel < pixels)
      write_pair<T>(y + pixel * conv.small + channel, first, second, conv.small - channel);
  });
}

// The pixels of gx that the same taps reach: those whose row and column have the same remainders
// modulo the stride. Every stride-th tap reaches them, from (first_p, first_q) on.
struct PixelClass {
  int first_p, first_q;  // which also number the classes: the first ones have the most taps
  int first_row, first_col, rows, columns;

  __device__ PixelClass(const Convolution &conv, int number) {
    const int s = conv.stride;
    first_p = number / s;
    first_q = number % s;
    first_row = ((first_p - conv.pad) % s + s) % s;
    first_col = ((first_q - conv.pad) % s + s) % s;
    rows = (conv.h - first_row + s - 1) / s;
    columns = (conv.w - first_col + s - 1) / s;
  }
};

// The weights of one tap, for gx: the terms are the channels of gy, contiguous in memory, the rows
// of the tile are the channels of gx.
template <class T>
struct TransposedWeights {
  using Tile = TermsTogether<T::n, T::k>;
  const float *w;
  int big, small, first;

  __device__ void load(float *tile, int tap, int channel) const {
#pragma unroll
    for (int i = 0; i < Tile::chunks / T::threads; i++) {
      const int chunk = threadIdx.x + i * T::threads;
      const int c = first + Tile::chunk_row(chunk), k = channel + Tile::chunk_term(chunk);
      const int count = c < big ? small - k : 0;
      const float *from = w + (count > 0 ? (tap * big + c) * small + k : 0);
      copy_chunk<T>(tile + Tile::at(c - first, k - channel), from, count);
    }
  }
};

// gx or parts of it. Blocks: pixels / T::m of each class, big / T::n, parts.
template <class T>
__global__ void __launch_bounds__(256, 2)
    conv2d_input_grad_mma(Convolution conv, const float *gy, const float *w, float *parts,
                          bool scaled, const float *scale, const float *shift, bool with_moments,
                          Moments *partial) {
  const int s = conv.stride;
  int number = 0, block = blockIdx.x;
  for (; number < s * s - 1; number++) {
    const PixelClass candidate(conv, number);
    const int blocks = (conv.n * candidate.rows * candidate.columns + T::m - 1) / T::m;
    if (block < blocks) break;
    block -= blocks;
  }
  const PixelClass pixel_class(conv, number);
  const int rows = pixel_class.rows, columns = pixel_class.columns;
  const int pixels = conv.n * rows * columns;
  const int first_pixel = block * T::m, first_channel = blockIdx.y * T::n;

  using A = Windows<T, -1>;
  A windows(gy, conv.oh, conv.ow, conv.small);
  for (int chunk = 0; chunk < A::own; chunk++) {
    const int pixel = first_pixel + A::Tile::chunk_row(threadIdx.x + chunk * T::threads);
    const int row = pixel_class.first_row + s * (pixel / columns % rows);
    const int col = pixel_class.first_col + s * (pixel % columns);
    if (pixel < pixels)
      windows.begin_at(chunk, pixel / columns / rows, (row + conv.pad - pixel_class.first_p) / s,
                       (col + conv.pad - pixel_class.first_q) / s);
    else
      windows.empty(chunk);
  }
  using B = TransposedWeights<T>;
  const B weights{w, conv.big, conv.small, first_channel};

  const int taps_down = (conv.kh - pixel_class.first_p + s - 1) / s;
  const int taps_across = (conv.kw - pixel_class.first_q + s - 1) / s;
  const Share share(taps_down * taps_across * ((conv.small + T::k - 1) / T::k));
  Progress<T::k> at(max(taps_across, 1), conv.small, share.first);
  Result<T> result;
  multiply<typename A::Tile, typename B::Tile>(
      result, share.count, [&](float *a_tile, float *b_tile) {
        windows.load(a_tile, at);
        const int p = pixel_class.first_p + s * at.p, q = pixel_class.first_q + s * at.q;
        weights.load(b_tile, p * conv.kw + q, at.channel);
        at.advance();
      });

  const ScaledReLU<float> scaled_relu{scaled, scale, shift};
  finish(result, scaled_relu, pixels - first_pixel, first_channel, conv.big, with_moments,
         partial);
  float *gx = parts + blockIdx.z * conv.n * conv.h * conv.w * conv.big;
  result.for_each_pair([&](int tile_row, int tile_column, float first, float second) {
    const int pixel = first_pixel + tile_row, channel = first_channel + tile_column;
    if (pixel >= pixels) return;
    const int row = pixel_class.first_row + s * (pixel / columns % rows);
    const int col = pixel_class.first_col + s * (pixel % columns);
    const int to = ((pixel / columns / rows * conv.h + row) * conv.w + col) * conv.big + channel;
    write_pair<T>(gx + to, first, second, conv.big - channel);
  });
}

// One tap of all windows: the rows of the tile are the channels from `first` on, the terms are the
// windows, which follow each other from step to step.
template <class T>
struct TapOfWindows {
  using Tile = RowsTogether<T::m, T::k>;
  static constexpr int own = Tile::chunks / T::threads;

  const float *x;
  const Convolution &conv;
  int p, q, first;
  int b[own], i[own], j[own];  // the window of each chunk of this thread

  __device__ TapOfWindows(const float *x, const Convolution &conv, int tap, int first, int window)
      : x(x), conv(conv), p(tap / conv.kw), q(tap % conv.kw), first(first) {
    for (int n = 0; n < own; n++) {
      const int own_window = window + Tile::chunk_term(threadIdx.x + n * T::threads);
      b[n] = own_window / conv.ow / conv.oh;
      i[n] = own_window / conv.ow % conv.oh;
      j[n] = own_window % conv.ow;
    }
  }

  __device__ void load(float *tile) {
#pragma unroll
    for (int n = 0; n < own; n++) {
      const int chunk = threadIdx.x + n * T::threads;
      const int c = first + Tile::chunk_row(chunk);
      const int row = conv.stride * i[n] + p - conv.pad, col = conv.stride * j[n] + q - conv.pad;
      const bool inside = b[n] < conv.n && within(row, conv.h) && within(col, conv.w);
      const int count = inside ? conv.big - c : 0;
      const int at = ((b[n] * conv.h + row) * conv.w + col) * conv.big + c;
      const float *from = x + (count > 0 ? at : 0);
      copy_chunk<T>(tile + Tile::at(c - first, Tile::chunk_term(chunk)), from, count);
      j[n] += T::k;
      while (j[n] >= conv.ow) {
        j[n] -= conv.ow;
        if (++i[n] == conv.oh) {
          i[n] = 0;
          b[n]++;
        }
      }
    }
  }
};

// gw or parts of it. Blocks: taps * (big / T::n), small / T::m, parts. The tiling is transposed,
// since the outer layers, where it matters, have more small channels than big ones.
template <class Untransposed>
__global__ void __launch_bounds__(256, 2)
    conv2d_weight_grad_mma(Convolution conv, const float *x, const float *gy, float *parts) {
  using T = Transposed<Untransposed>;
  const int windows = conv.n * conv.oh * conv.ow;
  const int blocks = (conv.big + T::m - 1) / T::m;  // of the channels of one tap
  const int tap = blockIdx.x / blocks, first_big = blockIdx.x % blocks * T::m;
  const int first_small = blockIdx.y * T::n;

  const Share share((windows + T::k - 1) / T::k);
  using A = TapOfWindows<T>;
  using B = RowsTogether<T::n, T::k>;
  int window = share.first * T::k;
  A tap_of_windows(x, conv, tap, first_big, window);
  const Matrix<T, B> gradient{gy, conv.small, first_small};
  Result<T> result;
  multiply<typename A::Tile, B>(result, share.count, [&](float *a_tile, float *b_tile) {
    tap_of_windows.load(a_tile);
    gradient.load(b_tile, window, windows);
    window += T::k;
  });

  float *gw = parts + blockIdx.z * conv.kh * conv.kw * conv.big * conv.small;
  result.for_each_pair([&](int tile_row, int tile_column, float first, float second) {
    const int c = first_big + tile_row, k = first_small + tile_column;
    if (c < conv.big)
      write_pair<T>(gw + (tap * conv.big + c) * conv.small + k, first, second, conv.small - k);
  });
}
