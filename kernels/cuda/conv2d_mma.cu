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

#include "convolution_tiles.cuh"
#include "epilogue.cuh"
#include "normalized.cuh"

// What a batch norm has read, where this thread's part of its gradient lies. Numbers that are none
// are read from other places, without branches, and count for nothing.
template <class T, int rows>
struct ReadByNorm {
  const Epilogue &epilogue;
  const int (&places)[rows];
  int first_channel, channels;

  struct Channel {
    const int (&places)[rows];
    float scale, shift, mean;

    __device__ void add(int i, float gradient, float x, TileGradSums &sums) const {
      const bool passes = places[i] >= 0 && fma(scale, x, shift) > 0;
      sums.add(passes ? gradient : 0, x - mean);
    }
  };

  __device__ Channel of(int column) const {
    const int channel = min(first_channel + column, channels - 1);
    return {places, epilogue.scale[channel], epilogue.shift[channel], epilogue.mean[channel]};
  }

  __device__ float2 read(int i, int column) const {
    const int first = min(first_channel + column, channels - 1);
    const float *x = epilogue.x + max(places[i], 0) + first;
    if (T::narrow) return make_float2(x[0], x[first_channel + column + 1 < channels]);
    return *reinterpret_cast<const float2 *>(x - first % 2);
  }
};

// The epilogue of a tile of the output, which has `channels` channels, and then the tile itself. It
// begins at `first_channel` and has `rows` pixels; the pixel of this thread's i-th row begins at
// places[i] of `output`, or is none where that is negative.
template <class T, class C>
__device__ void finish(C &result, const Epilogue &epilogue, int rows, int first_channel,
                       int channels, const int (&places)[C::own_rows], float *output) {
  const int own_channels = channels - first_channel;
  if (epilogue.scaled)
    result.change([&](int column, float x) {
      return column < own_channels ? epilogue.scaled_relu()(x, first_channel + column) : x;
    });
  if (epilogue.with_moments) {
    TileMoments *tiles = dynamic_shared<TileMoments>();
    __syncthreads();  // the operands are no longer read
    result.moments_of_columns(rows, tiles);
    merge_tiles(tiles, T::m / T::warp_m, T::warp_m, T::n, rows, own_channels,
                epilogue.partial + blockIdx.x * channels + first_channel);
  }
  if (epilogue.with_grad_sums) {
    TileGradSums *tiles = dynamic_shared<TileGradSums>();
    __syncthreads();  // the operands are no longer read
    const ReadByNorm<T, C::own_rows> norm{epilogue, places, first_channel, channels};
    result.grad_sums_of_columns(tiles, norm);
    merge_tiles(tiles, T::m / T::warp_m, T::n, own_channels,
                epilogue.grad_sums + blockIdx.x * channels + first_channel);
  }
  result.for_each_pair([&](int i, int column, float first, float second) {
    if (places[i] >= 0)
      write_pair<T>(output + places[i] + first_channel + column, first, second,
                    own_channels - column);
  });
}

// y or parts of it, of x as it is or `normalized` by the vectors x_scale and x_shift. Blocks: pixels
// / T::m, small / T::n, parts.
template <class T, bool normalized = false>
__global__ void __launch_bounds__(T::threads, T::blocks)
    conv2d_mma(Convolution conv, const float *x, const float *w, const float *x_scale,
               const float *x_shift, float *parts, bool scaled, const float *scale,
               const float *shift, bool with_moments, Moments *partial, bool with_grad_sums,
               const float *before, const float *mean, GradSums *grad_sums) {
  const int pixels = conv.n * conv.oh * conv.ow;
  const int first_pixel = blockIdx.x * T::m, first_channel = blockIdx.y * T::n;

  using A = Windows<T, 1, normalized>;
  A windows(x, conv.h, conv.w, conv.big);
  windows.begin_at(first_pixel, pixels, conv.oh, conv.ow, [&](Pixel pixel) {
    pixel.i = conv.stride * pixel.i - conv.pad;
    pixel.j = conv.stride * pixel.j - conv.pad;
    return pixel;
  });
  using B = Matrix<T>;
  const B weights(w, conv.small, first_channel);
  using C = Result<T, typename A::Tile, typename B::Tile>;
  C result;

  const Share share(Progress<T>::steps(conv.kh * conv.kw, conv.big));
  const int first_term = share.first * T::k;
  Progress<T> at(conv.kh, conv.kw, conv.big, first_term + A::Tile::chunk_term(threadIdx.x));
  const auto turn = [&] { windows.turn_to(at.p, at.q, at.ended()); };
  turn();
  int row = first_term;  // of the weights; narrow tilings have more terms than weights have rows
  const auto load = [&](float *a_tile, float *b_tile) {
    windows.load(a_tile, at.channel);
    if (T::narrow) {
      const int tap = at.p * conv.kw + at.q;
      const int channel = at.channel - A::Tile::chunk_term(threadIdx.x);
      weights.load(b_tile, tap * conv.big + channel, at.ended() ? 0 : (tap + 1) * conv.big);
    } else {
      weights.load(b_tile, row, conv.kh * conv.kw * conv.big);
    }
    row += T::k;
    at.advance(turn);
  };
  if constexpr (normalized)
    multiply(result, share.count, load, NormalizedTerms(x_scale, x_shift, conv.big, first_term));
  else
    multiply(result, share.count, load, AsTheyAre());

  int places[C::own_rows];
#pragma unroll
  for (int i = 0; i < C::own_rows; i++) {
    const int pixel = first_pixel + C::own_row(i);
    places[i] = pixel < pixels ? pixel * conv.small : -1;
  }
  const Epilogue epilogue{scaled,         scale,  shift, with_moments, partial,
                          with_grad_sums, before, mean,  grad_sums};
  finish<T>(result, epilogue, pixels - first_pixel, first_channel, conv.small, places,
         parts + blockIdx.z * pixels * conv.small);
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

// gx or parts of it, of gy as it is or `normalized` by the vectors gy_scale and gy_shift. Blocks:
// pixels / T::m of each class, big / T::n, parts.
template <class T, bool normalized = false>
__global__ void __launch_bounds__(T::threads, T::blocks)
    conv2d_input_grad_mma(Convolution conv, const float *gy, const float *w, const float *gy_scale,
                          const float *gy_shift, float *parts, bool scaled, const float *scale,
                          const float *shift, bool with_moments, Moments *partial,
                          bool with_grad_sums, const float *before, const float *mean,
                          GradSums *grad_sums) {
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

  using A = Windows<T, -1, normalized>;
  A windows(gy, conv.oh, conv.ow, conv.small);
  const int begin_row = (pixel_class.first_row + conv.pad - pixel_class.first_p) / s;  // exactly
  const int begin_col = (pixel_class.first_col + conv.pad - pixel_class.first_q) / s;
  windows.begin_at(first_pixel, pixels, rows, columns, [&](Pixel pixel) {
    pixel.i += begin_row;
    pixel.j += begin_col;
    return pixel;
  });
  using B = TransposedWeights<T>;
  B weights(w, conv.big, conv.small, first_channel);
  using C = Result<T, typename A::Tile, typename B::Tile>;
  C result;

  const int taps_down = (conv.kh - pixel_class.first_p + s - 1) / s;
  const int taps_across = (conv.kw - pixel_class.first_q + s - 1) / s;
  const Share share(Progress<T>::steps(taps_down * taps_across, conv.small));
  const int first_term = share.first * T::k;
  Progress<T> at(taps_down, max(taps_across, 1), conv.small,
                 first_term + A::Tile::chunk_term(threadIdx.x));
  const auto turn = [&] {
    windows.turn_to(at.p, at.q, at.ended());
    const int p = pixel_class.first_p + s * at.p, q = pixel_class.first_q + s * at.q;
    weights.turn_to(p * conv.kw + q, at.ended());
  };
  turn();
  const auto load = [&](float *a_tile, float *b_tile) {
    windows.load(a_tile, at.channel);
    weights.load(b_tile, at.channel);
    at.advance(turn);
  };
  if constexpr (normalized)
    multiply(result, share.count, load, NormalizedTerms(gy_scale, gy_shift, conv.small, first_term));
  else
    multiply(result, share.count, load, AsTheyAre());

  int places[C::own_rows];
  const Pixel next(8, rows, columns);  // rows of a thread are so far apart
  Pixel pixel(first_pixel + C::own_row(0), rows, columns);
#pragma unroll
  for (int i = 0; i < C::own_rows; i++) {
    const int row = pixel_class.first_row + s * pixel.i, col = pixel_class.first_col + s * pixel.j;
    const bool exists = first_pixel + C::own_row(i) < pixels;
    places[i] = exists ? ((pixel.b * conv.h + row) * conv.w + col) * conv.big : -1;
    pixel.advance(next, rows, columns);
  }
  const Epilogue epilogue{scaled,         scale,  shift, with_moments, partial,
                          with_grad_sums, before, mean,  grad_sums};
  finish<T>(result, epilogue, pixels - first_pixel, first_channel, conv.big, places,
         parts + blockIdx.z * conv.n * conv.h * conv.w * conv.big);
}

// gw or parts of it, of x and gy as they are, or one of them normalized by the vectors `scale` and
// `shift`. Blocks: rows / T::m, small / T::n, parts; the rows are the channels of all taps, see
// TapsOfWindows.
enum WhichNormalized { neither, x_normalized, gy_normalized };

template <class T, WhichNormalized normalized = neither>
__global__ void __launch_bounds__(T::threads, T::blocks)
    conv2d_weight_grad_mma(Convolution conv, const float *x, const float *gy, const float *scale,
                           const float *shift, float *parts) {
  const int windows = conv.n * conv.oh * conv.ow;
  const int first_row = blockIdx.x * T::m, first_small = blockIdx.y * T::n;

  const Share share((windows + T::k - 1) / T::k);
  using A = TapsOfWindows<T, normalized == x_normalized>;
  using B = Matrix<T>;
  A taps(x, conv, first_row, share.first * T::k);
  const B gradient(gy, conv.small, first_small);
  int window = share.first * T::k;
  using C = Result<T, typename A::Tile, typename B::Tile>;
  C result;
  const auto load = [&](float *a_tile, float *b_tile) {
    taps.load(a_tile);
    gradient.load(b_tile, window, windows);
    window += T::k;
  };
  const auto channel_of_row = [&](int i) {
    return (first_row + C::own_row(i)) % conv.big;
  };
  const auto channel_of_column = [&](int j) {
    return min(first_small + C::warp_column() + 8 * j + int(threadIdx.x) % 32 / 4, conv.small - 1);
  };
  if constexpr (normalized == x_normalized)
    multiply(result, share.count, load,
             NormalizedLeftRows<C::across>(scale, shift, channel_of_row));
  else if constexpr (normalized == gy_normalized)
    multiply(result, share.count, load,
             NormalizedColumns<C::along>(scale, shift, channel_of_column));
  else
    multiply(result, share.count, load, AsTheyAre());

  const int all_taps = conv.kh * conv.kw, rows_of_tap = A::rows_of_tap(conv);
  int places[C::own_rows];
#pragma unroll
  for (int i = 0; i < C::own_rows; i++) {
    const int row = first_row + C::own_row(i), tap = row / rows_of_tap, c = row % rows_of_tap;
    places[i] = tap < all_taps && c < conv.big ? (tap * conv.big + c) * conv.small : -1;
  }
  float *gw = parts + blockIdx.z * all_taps * conv.big * conv.small + first_small;
  result.for_each_pair([&](int i, int column, float first, float second) {
    if (places[i] >= 0)
      write_pair<T>(gw + places[i] + column, first, second, conv.small - first_small - column);
  });
}
