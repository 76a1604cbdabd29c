// The three convolution kernels on the tensor cores, for float32; see conv2d.py for their formulas.
// Where channels come in multiples of 4, 16 bytes are copied at once, else (`narrow` tilings) 4.
//
// Each is a product of matrices that are never written out: a step of a block gathers a tile of the
// windows under the kernel, and a tile of the weights or of the gradient, into shared memory.
//
//     conv2d              y (pixels, small) = windows (pixels, places*big) w (places*big, small)
//     conv2d_input_grad   gx (pixels, big)  = windows of gy (pixels, places*small) w (.., big)
//     conv2d_weight_grad  gw (places*big, small) = windows.T (.., pixels) gy (pixels, small)
//
// Sums can be shared among gridDim.z blocks, each of which writes a part of its own: parts
// (gridDim.z, size of the result), to be summed in their order.

#include "convolution.cuh"
#include "epilogue.cuh"
#include "matrix_product.cuh"

__device__ inline bool within(int i, int size) { return unsigned(i) < unsigned(size); }

// Where the sums over places in the kernel and channels stand: `k` channels of one place a step.
template <int k>
struct Place {
  int columns, channels;  // of the kernel, of the image
  int i, j, channel;

  __device__ Place(int columns, int channels, int step) : columns(columns), channels(channels) {
    const int steps = (channels + k - 1) / k;  // a place
    i = step / steps / columns;
    j = step / steps % columns;
    channel = step % steps * k;
  }

  __device__ void advance() {
    channel += k;
    if (channel < channels) return;
    channel = 0;
    if (++j < columns) return;
    j = 0;
    i++;
  }
};

// The windows of an image as rows: for each a pixel where its window begins. The place (i, j) in
// the kernel lies `direction` * (i, j) from there.
template <class T, int direction>
struct Windows {
  using Tile = TermsTogether<T::m, T::k>;
  static constexpr int own = Tile::chunks / T::threads;

  const float *image;
  int h, w, c;
  int row[own], column[own], offset[own];

  __device__ Windows(const float *image, int h, int w, int c) : image(image), h(h), w(w), c(c) {}

  // For chunk `i` of this thread: the pixel where its window begins, or nothing but zeros.
  __device__ void begin_at(int i, int n, int first_row, int first_column) {
    row[i] = first_row;
    column[i] = first_column;
    const int term = Tile::chunk_term(threadIdx.x + i * T::threads);
    offset[i] = ((n * h + first_row) * w + first_column) * c + term;
  }
  __device__ void empty(int i) {
    row[i] = column[i] = -(1 << 20);
    offset[i] = 0;
  }

  __device__ void load(float *tile, const Place<T::k> &place) const {
    const int di = direction * place.i, dj = direction * place.j;
    const int step = (di * w + dj) * c + place.channel;
#pragma unroll
    for (int i = 0; i < own; i++) {
      const int chunk = threadIdx.x + i * T::threads;
      const int term = Tile::chunk_term(chunk);
      const bool inside = within(row[i] + di, h) && within(column[i] + dj, w);
      const int count = inside ? c - place.channel - term : 0;
      const float *from = count > 0 ? image + offset[i] + step : image;
      copy_chunk<T>(tile + Tile::at(Tile::chunk_row(chunk), term), from, count);
    }
  }
};

// What is done to a tile of an output of `channels` channels that begins at `first_channel` and has
// `rows` pixels.
template <class T>
__device__ void finish(Result<T> &result, const ScaledReLU<float> &scaled_relu, int rows,
                       int first_channel, int channels, bool with_moments, Moments *partial) {
  result.change([&](int column, float x) {
    const int channel = first_channel + column;
    return channel < channels ? scaled_relu(x, channel) : x;
  });
  if (!with_moments) return;
  TileMoments *tiles = dynamic_shared<TileMoments>();
  __syncthreads();  // the operands are not read any more
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
  for (int i = 0; i < A::own; i++) {
    const int pixel = first_pixel + A::Tile::chunk_row(threadIdx.x + i * T::threads);
    const int a = pixel / conv.ow % conv.oh, b = pixel % conv.ow;
    if (pixel < pixels)
      windows.begin_at(i, pixel / conv.ow / conv.oh, conv.stride * a - conv.pad,
                       conv.stride * b - conv.pad);
    else
      windows.empty(i);
  }
  using B = RowsTogether<T::n, T::k>;
  Matrix<T, B> weights{w, conv.small, first_channel};

  const Share share(conv.kh * conv.kw * ((conv.big + T::k - 1) / T::k));
  Place<T::k> place(conv.kw, conv.big, share.first);
  Result<T> result;
  multiply<typename A::Tile, B>(result, share.count, [&](float *a_tile, float *b_tile) {
    windows.load(a_tile, place);
    const int first_row = (place.i * conv.kw + place.j) * conv.big;
    weights.load(b_tile, first_row + place.channel, first_row + conv.big);
    place.advance();
  });

  const ScaledReLU<float> scaled_relu{scaled, scale, shift};
  finish(result, scaled_relu, pixels - first_pixel, first_channel, conv.small, with_moments,
         partial);
  float *y = parts + blockIdx.z * pixels * conv.small;
  result.for_each_pair([&](int row, int column, float a, float b) {
    const int pixel = first_pixel + row, channel = first_channel + column;
    if (pixel < pixels)
      write_pair<T>(y + pixel * conv.small + channel, a, b, conv.small - channel);
  });
}

// The pixels of gx that meet the same places in the kernel: those whose row and column leave
// certain remainders by the stride. They meet every stride-th place, from (first_i, first_j) on.
struct PixelClass {
  int first_i, first_j;  // numbers the classes; those of smaller numbers meet the most places
  int first_row, first_column, rows, columns;

  __device__ PixelClass(const Convolution &conv, int number) {
    const int s = conv.stride;
    first_i = number / s;
    first_j = number % s;
    first_row = ((first_i - conv.pad) % s + s) % s;
    first_column = ((first_j - conv.pad) % s + s) % s;
    rows = (conv.h - first_row + s - 1) / s;
    columns = (conv.w - first_column + s - 1) / s;
  }
};

// Weights for gx: terms are the channels of gy at one place in the kernel, side by side in memory,
// rows those of gx.
template <class T>
struct TurnedWeights {
  using Tile = TermsTogether<T::n, T::k>;
  const float *w;
  int big, small, first;

  __device__ void load(float *tile, int place, int channel) const {
#pragma unroll
    for (int i = 0; i < Tile::chunks / T::threads; i++) {
      const int chunk = threadIdx.x + i * T::threads;
      const int c = first + Tile::chunk_row(chunk), k = channel + Tile::chunk_term(chunk);
      const int count = c < big ? small - k : 0;
      const float *from = w + (count > 0 ? (place * big + c) * small + k : 0);
      copy_chunk<T>(tile + Tile::at(c - first, k - channel), from, count);
    }
  }
};

// gx or parts of it. Blocks: of all classes (pixels / T::m), big / T::n, parts.
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
  for (int i = 0; i < A::own; i++) {
    const int pixel = first_pixel + A::Tile::chunk_row(threadIdx.x + i * T::threads);
    const int u = pixel_class.first_row + s * (pixel / columns % rows);
    const int v = pixel_class.first_column + s * (pixel % columns);
    if (pixel < pixels)
      windows.begin_at(i, pixel / columns / rows, (u + conv.pad - pixel_class.first_i) / s,
                       (v + conv.pad - pixel_class.first_j) / s);
    else
      windows.empty(i);
  }
  using B = TurnedWeights<T>;
  const B weights{w, conv.big, conv.small, first_channel};

  const int places_down = (conv.kh - pixel_class.first_i + s - 1) / s;
  const int places_across = (conv.kw - pixel_class.first_j + s - 1) / s;
  const Share share(places_down * places_across * ((conv.small + T::k - 1) / T::k));
  Place<T::k> place(max(places_across, 1), conv.small, share.first);
  Result<T> result;
  multiply<typename A::Tile, typename B::Tile>(
      result, share.count, [&](float *a_tile, float *b_tile) {
        windows.load(a_tile, place);
        const int i = pixel_class.first_i + s * place.i, j = pixel_class.first_j + s * place.j;
        weights.load(b_tile, i * conv.kw + j, place.channel);
        place.advance();
      });

  const ScaledReLU<float> scaled_relu{scaled, scale, shift};
  finish(result, scaled_relu, pixels - first_pixel, first_channel, conv.big, with_moments,
         partial);
  float *gx = parts + blockIdx.z * conv.n * conv.h * conv.w * conv.big;
  result.for_each_pair([&](int row, int column, float a, float b) {
    const int pixel = first_pixel + row, channel = first_channel + column;
    if (pixel >= pixels) return;
    const int u = pixel_class.first_row + s * (pixel / columns % rows);
    const int v = pixel_class.first_column + s * (pixel % columns);
    const int at = ((pixel / columns / rows * conv.h + u) * conv.w + v) * conv.big + channel;
    write_pair<T>(gx + at, a, b, conv.big - channel);
  });
}

// One place in the kernel under all windows: rows are the channels from `first` on, terms the
// windows, which follow each other from step to step.
template <class T>
struct WindowsUnderPlace {
  using Tile = RowsTogether<T::m, T::k>;
  static constexpr int own = Tile::chunks / T::threads;

  const float *x;
  const Convolution &conv;
  int i, j, first;
  int image[own], a[own], b[own];  // the window of each chunk of this thread

  __device__ WindowsUnderPlace(const float *x, const Convolution &conv, int place, int first,
                               int window)
      : x(x), conv(conv), i(place / conv.kw), j(place % conv.kw), first(first) {
    for (int n = 0; n < own; n++) {
      const int own_window = window + Tile::chunk_term(threadIdx.x + n * T::threads);
      image[n] = own_window / conv.ow / conv.oh;
      a[n] = own_window / conv.ow % conv.oh;
      b[n] = own_window % conv.ow;
    }
  }

  __device__ void load(float *tile) {
#pragma unroll
    for (int n = 0; n < own; n++) {
      const int chunk = threadIdx.x + n * T::threads;
      const int c = first + Tile::chunk_row(chunk);
      const int u = conv.stride * a[n] + i - conv.pad, v = conv.stride * b[n] + j - conv.pad;
      const bool inside = image[n] < conv.n && within(u, conv.h) && within(v, conv.w);
      const int count = inside ? conv.big - c : 0;
      const int at = ((image[n] * conv.h + u) * conv.w + v) * conv.big + c;
      const float *from = x + (count > 0 ? at : 0);
      copy_chunk<T>(tile + Tile::at(c - first, Tile::chunk_term(chunk)), from, count);
      b[n] += T::k;
      while (b[n] >= conv.ow) {
        b[n] -= conv.ow;
        if (++a[n] == conv.oh) {
          a[n] = 0;
          image[n]++;
        }
      }
    }
  }
};

// gw or parts of it. Blocks: places * (big / T::n), small / T::m, parts. The tiling is turned, for
// in the outer layers, where it matters, there are more small channels than big ones.
template <class Unturned>
__global__ void __launch_bounds__(256, 2)
    conv2d_weight_grad_mma(Convolution conv, const float *x, const float *gy, float *parts) {
  using T = Turned<Unturned>;
  const int windows = conv.n * conv.oh * conv.ow;
  const int blocks = (conv.big + T::m - 1) / T::m;  // of the channels of one place
  const int place = blockIdx.x / blocks, first_big = blockIdx.x % blocks * T::m;
  const int first_small = blockIdx.y * T::n;

  const Share share((windows + T::k - 1) / T::k);
  using A = WindowsUnderPlace<T>;
  using B = RowsTogether<T::n, T::k>;
  int window = share.first * T::k;
  A places(x, conv, place, first_big, window);
  const Matrix<T, B> gradient{gy, conv.small, first_small};
  Result<T> result;
  multiply<typename A::Tile, B>(result, share.count, [&](float *a_tile, float *b_tile) {
    places.load(a_tile);
    gradient.load(b_tile, window, windows);
    window += T::k;
  });

  float *gw = parts + blockIdx.z * conv.kh * conv.kw * conv.big * conv.small;
  result.for_each_pair([&](int row, int column, float a, float b) {
    const int c = first_big + row, k = first_small + column;
    if (c < conv.big)
      write_pair<T>(gw + (place * conv.big + c) * conv.small + k, a, b, conv.small - k);
  });
}
