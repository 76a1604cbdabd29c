// The three convolution kernels for any size of kernel, stride and padding; see conv2d.py for their
// formulas. Images are (n, h, w, channels), weights (kh, kw, big, small), T is float or double.
//
// These are the plain ones: one thread makes one number, and neighbouring threads read neighbouring
// memory or the same. Long sums are taken in parts, one for each place in the kernel or row of an
// image, which keeps digits that float would lose.

#include "convolution.cuh"
#include "epilogue.cuh"

// y[n,a,b,k] = sum_ijc x[n, s*a+i-p, s*b+j-p, c] * w[i,j,c,k]; `count` elements.
template <class T>
__global__ void __launch_bounds__(256)
    conv2d(Convolution conv, const T *x, const T *w, int count, T *y, bool scaled, const T *scale,
           const T *shift) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const int k = at % conv.small, b = at / conv.small % conv.ow;
  const int a = at / conv.small / conv.ow % conv.oh, image = at / conv.small / conv.ow / conv.oh;
  T sum = 0;
  for (int i = 0; i < conv.kh; i++)
    for (int j = 0; j < conv.kw; j++) {
      const int u = conv.stride * a + i - conv.pad, v = conv.stride * b + j - conv.pad;
      if (u < 0 || u >= conv.h || v < 0 || v >= conv.w) continue;
      const T *pixel = x + ((image * conv.h + u) * conv.w + v) * conv.big;
      const T *weights = w + (i * conv.kw + j) * conv.big * conv.small + k;
      T part = 0;
      for (int c = 0; c < conv.big; c++) part += pixel[c] * weights[c * conv.small];
      sum += part;
    }
  y[at] = ScaledReLU<T>{scaled, scale, shift}(sum, k);
}

// gx[n,u,v,c] = sum_ijk gy[n,a,b,k] * w[i,j,c,k] with u = s*a+i-p, v = s*b+j-p; `count` elements.
// Each gathers what the formula scatters: a place (i, j) in the kernel counts where u+p-i and v+p-j
// are multiples of the stride.
template <class T>
__global__ void __launch_bounds__(256)
    conv2d_input_grad(Convolution conv, const T *gy, const T *w, int count, T *gx, bool scaled,
                      const T *scale, const T *shift) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const int c = at % conv.big, v = at / conv.big % conv.w;
  const int u = at / conv.big / conv.w % conv.h, image = at / conv.big / conv.w / conv.h;
  T sum = 0;
  for (int i = 0; i < conv.kh; i++)
    for (int j = 0; j < conv.kw; j++) {
      const int row = u + conv.pad - i, column = v + conv.pad - j;
      if (row < 0 || column < 0 || row % conv.stride != 0 || column % conv.stride != 0) continue;
      const int a = row / conv.stride, b = column / conv.stride;
      if (a >= conv.oh || b >= conv.ow) continue;
      const T *pixel = gy + ((image * conv.oh + a) * conv.ow + b) * conv.small;
      const T *weights = w + ((i * conv.kw + j) * conv.big + c) * conv.small;
      T part = 0;
      for (int k = 0; k < conv.small; k++) part += pixel[k] * weights[k];
      sum += part;
    }
  gx[at] = ScaledReLU<T>{scaled, scale, shift}(sum, c);
}

// gw[i,j,c,k] = sum_nab x[n, s*a+i-p, s*b+j-p, c] * gy[n,a,b,k]; `count` elements. There are few of
// them and their sums are long: the n * oh rows of gy are shared among gridDim.y blocks, whose
// sums go to partial (gridDim.y, count).
template <class T>
__global__ void __launch_bounds__(256)
    conv2d_weight_grad(Convolution conv, const T *x, const T *gy, int count, T *partial) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const int k = at % conv.small, c = at / conv.small % conv.big;
  const int j = at / conv.small / conv.big % conv.kw, i = at / conv.small / conv.big / conv.kw;
  const int rows = conv.n * conv.oh;
  const int share = (rows + gridDim.y - 1) / gridDim.y;
  const int stop = min(rows, (int(blockIdx.y) + 1) * share);
  double sum = 0;
  for (int row = blockIdx.y * share; row < stop; row++) {
    const int image = row / conv.oh, u = conv.stride * (row % conv.oh) + i - conv.pad;
    if (u < 0 || u >= conv.h) continue;
    T part = 0;
    for (int b = 0; b < conv.ow; b++) {
      const int v = conv.stride * b + j - conv.pad;
      if (v < 0 || v >= conv.w) continue;
      part += x[((image * conv.h + u) * conv.w + v) * conv.big + c] *
              gy[(row * conv.ow + b) * conv.small + k];
    }
    sum += part;
  }
  partial[blockIdx.y * count + at] = sum;
}
