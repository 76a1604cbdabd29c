// Images put together and taken apart; see layout.py. T is float or double, a thread makes one
// element, and sizes are those of images (n, h, w, c).

#include "primitives.cuh"

__device__ inline int own_element() { return blockIdx.x * blockDim.x + threadIdx.x; }

// y (n,) = x / 127.5 - 1: pixels as networks take them.
template <class T>
__global__ void __launch_bounds__(256) scale_pixels(const unsigned char *x, int n, T *y) {
  const int i = own_element();
  if (i < n) y[i] = x[i] / T(127.5) - 1;
}

// y (n, h, w, c), `count` elements: x with an image's rows and columns reversed where its two of
// `flips` (n, 2) say so.
template <class T>
__global__ void __launch_bounds__(256)
    flip(const T *x, const bool *flips, int h, int w, int c, int count, T *y) {
  const int at = own_element();
  if (at >= count) return;
  const int channel = at % c, v = at / c % w, u = at / c / w % h, image = at / c / w / h;
  const int row = flips[2 * image] ? h - 1 - u : u;
  const int column = flips[2 * image + 1] ? w - 1 - v : v;
  y[at] = x[((image * h + row) * w + column) * c + channel];
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
  const int channel = at % c, v = at / c % ow + start, u = at / c / ow % oh + start;
  const int image = at / c / ow / oh;
  const bool inside = u >= 0 && u < h && v >= 0 && v < w;
  y[at] = inside ? x[((image * h + u) * w + v) * c + channel] : T(0);
}

// y (n, before + h + after, before + w + after, c), `count` elements: x with its rim repeated.
template <class T>
__global__ void __launch_bounds__(256)
    edge_pad(const T *x, int h, int w, int c, int before, int after, int count, T *y) {
  const int at = own_element();
  if (at >= count) return;
  const int oh = before + h + after, ow = before + w + after;
  const int channel = at % c, image = at / c / ow / oh;
  const int u = min(max(at / c / ow % oh - before, 0), h - 1);
  const int v = min(max(at / c % ow - before, 0), w - 1);
  y[at] = x[((image * h + u) * w + v) * c + channel];
}

// gx (n, h, w, c), `count` elements: each sums the gy of all places it was copied to.
template <class T>
__global__ void __launch_bounds__(256)
    edge_pad_grad(const T *gy, int h, int w, int c, int before, int after, int count, T *gx) {
  const int at = own_element();
  if (at >= count) return;
  const int oh = before + h + after, ow = before + w + after;
  const int channel = at % c, v = at / c % w, u = at / c / w % h, image = at / c / w / h;
  const int top = u == 0 ? 0 : before + u, bottom = u == h - 1 ? oh : before + u + 1;
  const int left = v == 0 ? 0 : before + v, right = v == w - 1 ? ow : before + v + 1;
  T sum = 0;
  for (int a = top; a < bottom; a++)
    for (int b = left; b < right; b++) sum += gy[((image * oh + a) * ow + b) * c + channel];
  gx[at] = sum;
}
