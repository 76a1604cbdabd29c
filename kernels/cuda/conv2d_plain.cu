// The three convolution kernels for any size of kernel, stride and padding; kernels/conv2d.py has
// the formulas and the index letters. Images are (n, h, w, channels), weights (kh, kw, big, small),
// T is float or double.
//
// One thread computes one number, and neighbouring threads read neighbouring memory or the same.
// Long sums are taken in parts, one for each tap or each row of an image, which keeps digits that
// float would lose.

#include "convolution.cuh"
#include "epilogue.cuh"

// y[b,i,j,k] = sum_pqc x[b,row,col,c] * w[p,q,c,k]; `count` elements.
template <class T>
__global__ void __launch_bounds__(256)
    conv2d(Convolution conv, const T *x, const T *w, int count, T *y, bool scaled, const T *scale,
           const T *shift) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const int k = at % conv.small, j = at / conv.small % conv.ow;
  const int i = at / conv.small / conv.ow % conv.oh, b = at / conv.small / conv.ow / conv.oh;
  T sum = 0;
  for (int p = 0; p < conv.kh; p++)
    for (int q = 0; q < conv.kw; q++) {
      const int row = conv.stride * i + p - conv.pad, col = conv.stride * j + q - conv.pad;
      if (row < 0 || row >= conv.h || col < 0 || col >= conv.w) continue;
      const T *pixel = x + ((b * conv.h + row) * conv.w + col) * conv.big;
      const T *weights = w + (p * conv.kw + q) * conv.big * conv.small + k;
      T part = 0;
      for (int c = 0; c < conv.big; c++) part += pixel[c] * weights[c * conv.small];
      sum += part;
    }
  y[at] = ScaledReLU<T>{scaled, scale, shift}(sum, k);
}

// gx[b,row,col,c] = sum_pqk gy[b,i,j,k] * w[p,q,c,k]; `count` elements. Each gathers what the
// formula scatters, over the taps (p, q) for which row + pad - p and col + pad - q are multiples of
// the stride.
template <class T>
__global__ void __launch_bounds__(256)
    conv2d_input_grad(Convolution conv, const T *gy, const T *w, int count, T *gx, bool scaled,
                      const T *scale, const T *shift) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const int c = at % conv.big, col = at / conv.big % conv.w;
  const int row = at / conv.big / conv.w % conv.h, b = at / conv.big / conv.w / conv.h;
  T sum = 0;
  for (int p = 0; p < conv.kh; p++)
    for (int q = 0; q < conv.kw; q++) {
      const int down = row + conv.pad - p, right = col + conv.pad - q;
      if (down < 0 || right < 0 || down % conv.stride != 0 || right % conv.stride != 0) continue;
      const int i = down / conv.stride, j = right / conv.stride;
      if (i >= conv.oh || j >= conv.ow) continue;
      const T *pixel = gy + ((b * conv.oh + i) * conv.ow + j) * conv.small;
      const T *weights = w + ((p * conv.kw + q) * conv.big + c) * conv.small;
      T part = 0;
      for (int k = 0; k < conv.small; k++) part += pixel[k] * weights[k];
      sum += part;
    }
  gx[at] = ScaledReLU<T>{scaled, scale, shift}(sum, c);
}

// gw[p,q,c,k] = sum_bij x[b,row,col,c] * gy[b,i,j,k]; `count` elements. There are few of them and
// their sums are long: the n * oh rows of gy are shared among gridDim.y blocks, whose sums go to
// partial (gridDim.y, count).
template <class T>
__global__ void __launch_bounds__(256)
    conv2d_weight_grad(Convolution conv, const T *x, const T *gy, int count, T *partial) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const int k = at % conv.small, c = at / conv.small % conv.big;
  const int q = at / conv.small / conv.big % conv.kw, p = at / conv.small / conv.big / conv.kw;
  const int rows = conv.n * conv.oh;
  const int share = (rows + gridDim.y - 1) / gridDim.y;
  const int stop = min(rows, (int(blockIdx.y) + 1) * share);
  double sum = 0;
  for (int gy_row = blockIdx.y * share; gy_row < stop; gy_row++) {
    const int b = gy_row / conv.oh, row = conv.stride * (gy_row % conv.oh) + p - conv.pad;
    if (row < 0 || row >= conv.h) continue;
    T part = 0;
    for (int j = 0; j < conv.ow; j++) {
      const int col = conv.stride * j + q - conv.pad;
      if (col < 0 || col >= conv.w) continue;
      part += x[((b * conv.h + row) * conv.w + col) * conv.big + c] *
              gy[(gy_row * conv.ow + j) * conv.small + k];
    }
    sum += part;
  }
  partial[blockIdx.y * count + at] = sum;
}
