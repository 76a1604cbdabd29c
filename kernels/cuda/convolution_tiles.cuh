// What the convolutions on tensor cores multiply: tiles of the windows of an image and of weights,
// gathered into shared memory step by step.

#ifndef MINISPIRAL_CONVOLUTION_TILES_CUH
#define MINISPIRAL_CONVOLUTION_TILES_CUH

#include "convolution.cuh"
#include "matrix_product.cuh"
#include "normalized.cuh"

// How far the sums over taps and channels have come: at some channel of tap (p, q). In each step
// they advance by `terms`; taps have `columns` in a row. Each tap has as many terms as channels, in
// narrow tilings rounded up to whole steps.
template <class T>
struct Progress {
  int rows, columns, terms_of_tap;
  int p, q, channel;

  __device__ Progress(int rows, int columns, int channels, int term)
      : rows(rows), columns(columns), terms_of_tap(terms(channels)) {
    const int tap = term / terms_of_tap;
    p = tap / columns;
    q = tap % columns;
    channel = term % terms_of_tap;
  }

  __device__ static int terms(int channels) {
    return T::narrow ? (channels + T::k - 1) / T::k * T::k : channels;
  }
  __device__ static int steps(int taps, int channels) {
    return (taps * terms(channels) + T::k - 1) / T::k;
  }

  __device__ bool ended() const { return p >= rows; }

  // Calls on_tap() for each tap to which it comes.
  template <class OnTap>
  __device__ void advance(OnTap on_tap) {
    channel += T::k;
    while (channel >= terms_of_tap) {
      channel -= terms_of_tap;
      if (++q == columns) q = 0, p++;
      on_tap();
    }
  }
};

// The windows of an image as rows of a matrix. A window begins at a pixel; tap (p, q) is the pixel
// at a distance of `direction` * (p, q) from there.
template <class T, int direction, bool normalized>
struct Windows {
  using Tile = TermsTogether<T::m>;
  static constexpr int own = Tile::chunks / T::threads;

  const float *image;
  int h, w, channels;
  int row[own], col[own], offset[own];
  unsigned inside = 0;  // whether the tap of each chunk's window is in the image, bit by bit
  int to_tap = 0;

  __device__ Windows(const float *image, int h, int w, int channels)
      : image(image), h(h), w(w), channels(channels) {}

  // The windows of this thread's chunks: begin(pixel) is where that of a pixel begins.
  template <class Begin>
  __device__ void begin_at(int first_pixel, int pixels, int rows, int columns, Begin begin) {
    constexpr int apart = T::threads / 4;
    const int first = first_pixel + Tile::chunk_row(threadIdx.x);
    const Pixel next(apart, rows, columns);
    Pixel pixel(first, rows, columns);
#pragma unroll
    for (int n = 0; n < own; n++) {
      const Pixel at = begin(pixel);
      offset[n] = ((at.b * h + at.i) * w + at.j) * channels;
      row[n] = first + apart * n < pixels ? at.i : -(1 << 20);
      col[n] = at.j;
      pixel.advance(next, rows, columns);
    }
  }

  __device__ void turn_to(int p, int q, bool ended) {
    const int down = direction * p, right = direction * q;
    inside = 0;
#pragma unroll
    for (int n = 0; n < own; n++)
      if (!ended && within(row[n] + down, h) && within(col[n] + right, w)) inside |= 1u << n;
    to_tap = (down * w + right) * channels;
  }

  __device__ void load(float *tile, int channel) const {
#pragma unroll
    for (int n = 0; n < own; n++)
      copy_of_image<T, normalized>(tile + 4 * threadIdx.x + 4 * T::threads * n,
                                   image + (offset[n] + (to_tap + channel)), inside & 1u << n,
                                   channels - channel);
  }
};

// The weights of a tap, for gx: the terms are the channels of gy, contiguous in memory, the rows of
// the tile are the channels of gx from `first` on.
template <class T>
struct TransposedWeights {
  using Tile = TermsTogether<T::n>;
  static constexpr int own = Tile::chunks / T::threads;

  const float *w;
  int big, small;
  int row[own], offset[own];
  int rows = 0, to_tap = 0;

  __device__ TransposedWeights(const float *w, int big, int small, int first)
      : w(w), big(big), small(small) {
#pragma unroll
    for (int n = 0; n < own; n++) {
      row[n] = first + Tile::chunk_row(threadIdx.x + n * T::threads);
      offset[n] = held(row[n] * small);
    }
  }

  __device__ void turn_to(int tap, bool ended) {
    rows = ended ? 0 : big;
    to_tap = tap * big * small;
  }

  __device__ void load(float *tile, int channel) const {
#pragma unroll
    for (int n = 0; n < own; n++)
      copy_chunk<T>(tile + 4 * threadIdx.x + 4 * T::threads * n,
                    w + (offset[n] + (to_tap + channel)), row[n] < rows, small - channel);
  }
};

// The taps of all windows: the rows of the tile are the channels of the taps, tap by tap, in narrow
// tilings rounded up to a multiple of four; the terms are the windows, which follow each other from
// step to step. All chunks of a thread are of the same tap and channels, and of windows that are
// `apart`, within a step and from one to the next.
template <class T, bool normalized>
struct TapsOfWindows {
  using Tile = RowsTogether<T::m>;
  static constexpr int own = Tile::chunks / T::threads, apart = T::threads / Tile::of_term;
  static_assert(apart % 4 == 0, "or chunks would have different channels");

  const float *x;
  int h, w, stride, channels, channel, windows, window;
  Pixel next;
  int row_end, col_end, batch_of_rows, row_of_windows, next_offset, row_offset, image_offset;
  int row, col, offset;  // of the window's tap in the image

  __device__ TapsOfWindows(const float *x, const Convolution &conv, int first_row, int first_window)
      : x(x), h(conv.h), w(conv.w), stride(conv.stride), channels(conv.big),
        windows(conv.n * conv.oh * conv.ow),
        window(first_window + Tile::chunk_term(threadIdx.x)), next(apart, conv.oh, conv.ow) {
    const int own_row = first_row + Tile::chunk_row(threadIdx.x);
    const int tap = own_row / rows_of_tap(conv);
    channel = own_row % rows_of_tap(conv);
    if (tap >= conv.kh * conv.kw) windows = 0;  // no such row
    const int p = tap / conv.kw - conv.pad, q = tap % conv.kw - conv.pad;
    row_of_windows = stride * conv.ow;
    batch_of_rows = stride * conv.oh;
    row_end = p + batch_of_rows;
    col_end = q + row_of_windows;
    next_offset = ((next.b * h + stride * next.i) * w + stride * next.j) * channels;
    row_offset = (stride * w - row_of_windows) * channels;
    image_offset = (h - batch_of_rows) * w * channels;
    const Pixel pixel(window, conv.oh, conv.ow);
    row = stride * pixel.i + p;
    col = stride * pixel.j + q;
    offset = ((pixel.b * h + row) * w + col) * channels + channel;
  }

  __device__ static int rows_of_tap(const Convolution &conv) {
    return T::narrow ? (conv.big + 3) / 4 * 4 : conv.big;
  }

  __device__ void load(float *tile) {
#pragma unroll
    for (int n = 0; n < own; n++) {
      copy_of_image<T, normalized>(tile + 4 * threadIdx.x + 4 * T::threads * n, x + offset,
                                   window < windows && within(row, h) && within(col, w),
                                   channels - channel);
      advance();
    }
  }

  // Without branches: at most one end of a row and one of an image is passed.
  __device__ void advance() {
    window += apart;
    row += stride * next.i;
    col += stride * next.j;
    offset += next_offset;
    if (col >= col_end) {
      col -= row_of_windows;
      row += stride;
      offset += row_offset;
    }
    if (row >= row_end) {
      row -= batch_of_rows;
      offset += image_offset;
    }
  }
};

#endif  // MINISPIRAL_CONVOLUTION_TILES_CUH
