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

// The epilogue of a tile of the output, which has `channels` channels. The tile begins at
// `first_channel` and has `rows` pixels.
template <class T, class A, class B>
__device__ void finish(Result<T, A, B> &result, const ScaledReLU<float> &scaled_relu, int rows,
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
__global__ void __launch_bounds__(T::threads, T::blocks)
    conv2d_mma(Convolution conv, const float *x, const float *w, float *parts, bool scaled,
               const float *scale, const float *shift, bool with_moments, Moments *partial) {
  const int pixels = conv.n * conv.oh * conv.ow;
  const int first_pixel = blockIdx.x * T::m, first_channel = blockIdx.y * T::n;

  using A = Windows<T, 1>;
  A windows(x, conv.h, conv.w, conv.big);
  windows.begin_at(first_pixel, pixels, conv.oh, conv.ow, [&](Pixel &pixel) {
    pixel.i = conv.stride * pixel.i - conv.pad;
    pixel.j = conv.stride * pixel.j - conv.pad;
  });
  using B = Matrix<T>;
  const B weights(w, conv.small, first_channel);

  const Share share(Progress<T>::steps(conv.kh * conv.kw, conv.big));
  const int first_term = share.first * T::k;
  Progress<T> at(conv.kh, conv.kw, conv.big, first_term + A::Tile::chunk_term(threadIdx.x));
  const auto turn = [&] { windows.turn_to(at.p, at.q, at.ended()); };
  turn();
  int row = first_term;  // of the weights; narrow tilings have more terms than weights have rows
  Result<T, typename A::Tile, typename B::Tile> result;
  multiply(result, share.count, [&](float *a_tile, float *b_tile) {
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

// gx or parts of it. Blocks: pixels / T::m of each class, big / T::n, parts.
template <class T>
__global__ void __launch_bounds__(T::threads, T::blocks)
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
  windows.begin_at(first_pixel, pixels, rows, columns, [&](Pixel &pixel) {
    const int row = pixel_class.first_row + s * pixel.i, col = pixel_class.first_col + s * pixel.j;
    pixel.i = (row + conv.pad - pixel_class.first_p) / s;
    pixel.j = (col + conv.pad - pixel_class.first_q) / s;
  });
  using B = TransposedWeights<T>;
  B weights(w, conv.big, conv.small, first_channel);

  const int taps_down = (conv.kh - pixel_class.first_p + s - 1) / s;
  const int taps_across = (conv.kw - pixel_class.first_q + s - 1) / s;
  const Share share(Progress<T>::steps(taps_down * taps_across, conv.small));
  Progress<T> at(taps_down, max(taps_across, 1), conv.small,
                 share.first * T::k + A::Tile::chunk_term(threadIdx.x));
  const auto turn = [&] {
    windows.turn_to(at.p, at.q, at.ended());
    const int p = pixel_class.first_p + s * at.p, q = pixel_class.first_q + s * at.q;
    weights.turn_to(p * conv.kw + q, at.ended());
  };
  turn();
  Result<T, typename A::Tile, typename B::Tile> result;
  multiply(result, share.count, [&](float *a_tile, float *b_tile) {
    windows.load(a_tile, at.channel);
    weights.load(b_tile, at.channel);
    at.advance(turn);
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

// gw or parts of it. Blocks: rows / T::m, small / T::n, parts; the rows are the channels of all
// taps, see TapsOfWindows.
template <class T>
__global__ void __launch_bounds__(T::threads, T::blocks)
    conv2d_weight_grad_mma(Convolution conv, const float *x, const float *gy, float *parts) {
  const int windows = conv.n * conv.oh * conv.ow;
  const int first_row = blockIdx.x * T::m, first_small = blockIdx.y * T::n;

  const Share share((windows + T::k - 1) / T::k);
  using A = TapsOfWindows<T>;
  using B = Matrix<T>;
  A taps(x, conv, first_row, share.first * T::k);
  const B gradient(gy, conv.small, first_small);
  int window = share.first * T::k;
  Result<T, typename A::Tile, typename B::Tile> result;
  multiply(result, share.count, [&](float *a_tile, float *b_tile) {
    taps.load(a_tile);
    gradient.load(b_tile, window, windows);
    window += T::k;
  });

  const int taps_count = conv.kh * conv.kw, rows_of_tap = A::rows_of_tap(conv);
  float *gw = parts + blockIdx.z * taps_count * conv.big * conv.small;
  result.for_each_pair([&](int tile_row, int tile_column, float first, float second) {
    int row = first_row + tile_row;
    const int k = first_small + tile_column, tap = row / rows_of_tap, c = row % rows_of_tap;
    if (tap < taps_count && c < conv.big)
      write_pair<T>(gw + (tap * conv.big + c) * conv.small + k, first, second, conv.small - k);
  });
}
