// Layout of images; kernels/layout.py describes the functions. T is float or double, a thread makes
// one element, and sizes are those of images (n, h, w, c).

#include "primitives.cuh"

__device__ inline int own_element() { return blockIdx.x * blockDim.x + threadIdx.x; }

// y (n,) = x / 127.5 - 1.
template <class T>
__global__ void __launch_bounds__(256) scale_pixels(const unsigned char *x, int n, T *y) {
  const int i = own_element();
  if (i < n) y[i] = x[i] / T(127.5) - 1;
}

// y (n, h, w, c), `count` elements: x with the rows and the columns of image b reversed as flips[b]
// says, of flips (n, 2).
template <class T>
__global__ void __launch_bounds__(256)
    flip(const T *x, const bool *flips, int h, int w, int c, int count, T *y) {
  const int at = own_element();
  if (at >= count) return;
  const int channel = at % c, j = at / c % w, i = at / c / w % h, b = at / c / w / h;
  const int row = flips[2 * b] ? h - 1 - i : i;
  const int col = flips[2 * b + 1] ? w - 1 - j : j;
  y[at] = x[((b * h + row) * w + col) * c + channel];
}

// Copies `count` channels of each of m pixels: from channel `from` of x (m, cx) to channel `to` of
// y (m, cy). `n` is m * count.
template <class T>
__global__ void __launch_bounds__(256)
    copy_channels(const T *x, int cx, int from, int count, int n, int cy, int to, T *y) {
  const int i = own_element();
  if (i >= n) return;
  const int pixel = i / count, channel = i % count;
  y[pixel * cy + to + channel] = x[pixel * cx + from + channel];
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
