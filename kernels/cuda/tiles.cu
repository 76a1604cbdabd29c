// Overlapping tiles of a photograph; kernels/tiles.py describes the functions. T is float or double,
// and a thread has one pixel of a tile of th x tw pixels, whose corner is (top, left).

#include "logistic.cuh"
#include "rows.cuh"

// The pixel of `length` that lies at this place; beyond the edges they are reflected.
__device__ inline int reflected(int place, int length) {
  if (length == 1) return 0;
  const int period = 2 * (length - 1);
  place %= period;
  if (place < 0) place += period;
  return min(place, period - place);
}

// y (th, tw, 3) = the pixels of photo (h, w, 3) under the tile, from -1 to 1.
template <class T>
__global__ void __launch_bounds__(256) cut_tile(const unsigned char *photo, int h, int w, int top,
                                                int left, int th, int tw, T *y) {
  const int at = own_element();
  if (at >= th * tw) return;
  const int row = reflected(top + at / tw, h), col = reflected(left + at % tw, w);
  for (int c = 0; c < 3; c++) y[3 * at + c] = photo[3 * (row * w + col) + c] / T(127.5) - 1;
}

// total (h, w) += rows (th,) * columns (tw,) * sigmoid(logits (th, tw)), where the tile lies on it.
template <class T>
__global__ void __launch_bounds__(256)
    blend_tile(const T *logits, const T *rows, const T *columns, int th, int tw, int top, int left,
               int h, int w, T *total) {
  const int at = own_element();
  if (at >= th * tw) return;
  const int i = at / tw, j = at % tw, row = top + i, col = left + j;
  if (row < 0 || row >= h || col < 0 || col >= w) return;
  total[row * w + col] += rows[i] * columns[j] * sigmoid(logits[at]);
}
