// Elementwise arithmetic, and sums over rows in two passes, in double. T is float or double. In the
// elementwise kernels a thread makes one element.

#include "logistic.cuh"
#include "rows.cuh"

// y (n,) = a (n,) + b (nb,), with b repeated: one number, one for each channel, or n of them.
template <class T>
__global__ void __launch_bounds__(256) add(const T *a, const T *b, int n, int nb, T *y) {
  const int i = own_element();
  if (i < n) y[i] = a[i] + b[i % nb];
}

// y (n,) = x0 + x1 + .. from the left, the first `count` of the arrays (n,), which are two or more.
template <class T>
__global__ void __launch_bounds__(256)
    add_all(const T *x0, const T *x1, const T *x2, const T *x3, const T *x4, const T *x5,
            const T *x6, const T *x7, int count, int n, T *y) {
  const int i = own_element();
  if (i >= n) return;
  const T *const terms[] = {x0, x1, x2, x3, x4, x5, x6, x7};
  T values[8];
#pragma unroll
  for (int j = 0; j < 8; j++)
    if (j < count) values[j] = terms[j][i];
  T sum = values[0];
#pragma unroll
  for (int j = 1; j < 8; j++)
    if (j < count) sum += values[j];
  y[i] = sum;
}

// y (n,) = a (n,) * b (nb,), likewise.
template <class T>
__global__ void __launch_bounds__(256) multiply(const T *a, const T *b, int n, int nb, T *y) {
  const int i = own_element();
  if (i < n) y[i] = a[i] * b[i % nb];
}

// y (n,) = sigmoid(x).
template <class T>
__global__ void __launch_bounds__(256) sigmoid_of(const T *x, int n, T *y) {
  const int i = own_element();
  if (i < n) y[i] = sigmoid(x[i]);
}

// y (n,) = x.
template <class From, class To>
__global__ void __launch_bounds__(256) convert(const From *x, int n, To *y) {
  const int i = own_element();
  if (i < n) y[i] = x[i];
}

// running (n,) = keep * running + take * value.
template <class T>
__global__ void __launch_bounds__(256) blend(T *running, const T *value, T keep, T take, int n) {
  const int i = own_element();
  if (i < n) running[i] = keep * running[i] + take * value[i];
}

struct Sum {
  double value;
};

__device__ Sum merge(Sum a, Sum b) { return {a.value + b.value}; }

// The sums over each block's rows of x (m, c): partial (gridDim.y, c).
template <class T>
__global__ void __launch_bounds__(256) block_row_sums(const T *x, int m, int c, Sum *partial) {
  Sum own = {};
  if (own_channel() < c)
    for (int i = first_row(); i < m; i += row_step()) own.value += x[i * c + own_channel()];
  const Sum all = merge_rows(own);
  if (threadIdx.y == 0 && own_channel() < c) partial[blockIdx.y * c + own_channel()] = all;
}

// y (c,) from the blocks' sums.
template <class T>
__global__ void __launch_bounds__(256) merge_row_sums(const Sum *partial, int blocks, int c, T *y) {
  const Sum all = merge_blocks(partial, blocks, c);
  if (threadIdx.y == 0 && own_channel() < c) y[own_channel()] = all.value;
}
