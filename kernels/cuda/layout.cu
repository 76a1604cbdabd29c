// Layout of images; kernels/layout.py describes the functions. T is float or double, a thread makes
// one element where nothing else is said, and sizes are those of images (n, h, w, c).

#include "rows.cuh"

// y (n,) = x / 127.5 - 1.
template <class T>
__global__ void __launch_bounds__(256) scale_pixels(const unsigned char *x, int n, T *y) {
  const int i = own_element();
  if (i < n) y[i] = x[i] / T(127.5) - 1;
}

// y (m, columns): images of h rows, m altogether, of c channels for each pixel of a row. Image b is
// that of x with its rows and its columns reversed as flips[b] says, of flips (n, 2); see rows.cuh.
template <class T>
__global__ void __launch_bounds__(256)
    flip(const T *__restrict__ x, const bool *__restrict__ flips, int m, int h, int columns, int c,
         T *__restrict__ y) {
  const int column = own_channel();
  if (column >= columns) return;
  const int mirrored = columns - c - column + 2 * (column % c);  // the same channel
  in_batches<batch>(
      first_row(), m, row_step(),
      [&](int row) {
        const int b = row / h, i = row % h;
        const int from = flips[2 * b] ? row - i + h - 1 - i : row;
        return x[from * columns + (flips[2 * b + 1] ? mirrored : column)];
      },
      [&](int row, T value) { y[row * columns + column] = value; });
}

// How many channels each of several images has: 0 where there are fewer images.
struct Channels {
  int of[8];
};

// One of the images, (m, c), and a channel of it.
template <class T>
struct Place {
  T *x;
  int c, channel;
};

// Where a channel is that the images have between them; no place where they have fewer.
template <class T>
__device__ Place<T> place_of(int channel, const Channels &channels, T *const (&images)[8]) {
  Place<T> found = {images[0], 0, 0};
#pragma unroll
  for (int i = 0; i < 8; i++) {
    if (0 <= channel && channel < channels.of[i]) found = {images[i], channels.of[i], channel};
    channel -= channels.of[i];
  }
  return found;
}

// y (m, cy) from channel `to` on: the channels of the images side by side; see rows.cuh.
template <class T>
__global__ void __launch_bounds__(256)
    join_channels(const T *x0, const T *x1, const T *x2, const T *x3, const T *x4, const T *x5,
                  const T *x6, const T *x7, Channels channels, int m, int cy, int to, T *y) {
  const T *const images[] = {x0, x1, x2, x3, x4, x5, x6, x7};
  const Place<const T> from = place_of(own_channel(), channels, images);
  if (from.c == 0) return;
  in_batches<batch>(
      first_row(), m, row_step(), [&](int row) { return from.x[row * from.c + from.channel]; },
      [&](int row, T value) { y[row * cy + to + own_channel()] = value; });
}

// The reverse: the channels of x (m, cx) from channel `from` on, shared out among the images.
template <class T>
__global__ void __launch_bounds__(256)
    split_channels(const T *x, Channels channels, int m, int cx, int from, T *y0, T *y1, T *y2,
                   T *y3, T *y4, T *y5, T *y6, T *y7) {
  T *const images[] = {y0, y1, y2, y3, y4, y5, y6, y7};
  const Place<T> to = place_of(own_channel(), channels, images);
  if (to.c == 0) return;
  in_batches<batch>(
      first_row(), m, row_step(), [&](int row) { return x[row * cx + from + own_channel()]; },
      [&](int row, T value) { to.x[row * to.c + to.channel] = value; });
}

// y (n, oh, ow, c), `count` elements: the pixels of x (n, h, w, c) from row and column `start` on,
// zeros where x has none.
template <class T>
__global__ void __launch_bounds__(256)
    window(const T *x, int h, int w, int c, int start, int oh, int ow, int count, T *y) {
  const int at = own_element();
  if (at >= count) return;
  const int channel = at % c, col = at / c % ow + start, row = at / c / ow % oh + start;
  const int b = at / c / ow / oh;
  const bool inside = row >= 0 && row < h && col >= 0 && col < w;
  y[at] = inside ? x[((b * h + row) * w + col) * c + channel] : T(0);
}

// y (n, before + h + after, before + w + after, c), `count` elements: x with its edges repeated.
template <class T>
__global__ void __launch_bounds__(256)
    edge_pad(const T *x, int h, int w, int c, int before, int after, int count, T *y) {
  const int at = own_element();
  if (at >= count) return;
  const int oh = before + h + after, ow = before + w + after;
  const int channel = at % c, b = at / c / ow / oh;
  const int row = min(max(at / c / ow % oh - before, 0), h - 1);
  const int col = min(max(at / c % ow - before, 0), w - 1);
  y[at] = x[((b * h + row) * w + col) * c + channel];
}

// gx (n, h, w, c), `count` elements: each sums the gy of all places it was copied to.
template <class T>
__global__ void __launch_bounds__(256)
    edge_pad_grad(const T *gy, int h, int w, int c, int before, int after, int count, T *gx) {
  const int at = own_element();
  if (at >= count) return;
  const int oh = before + h + after, ow = before + w + after;
  const int channel = at % c, col = at / c % w, row = at / c / w % h, b = at / c / w / h;
  const int top = row == 0 ? 0 : before + row, bottom = row == h - 1 ? oh : before + row + 1;
  const int left = col == 0 ? 0 : before + col, right = col == w - 1 ? ow : before + col + 1;
  T sum = 0;
  for (int i = top; i < bottom; i++)
    for (int j = left; j < right; j++) sum += gy[((b * oh + i) * ow + j) * c + channel];
  gx[at] = sum;
}
