// Mean and variance of the channels, gathered in parts and merged. A part is centred on one of its
// values or on its own mean, so nothing cancels, however far from zero the values are.

#ifndef MINISPIRAL_MOMENTS_CUH
#define MINISPIRAL_MOMENTS_CUH

#include "rows.cuh"

// Number of values, mean, and summed squared distance from the mean.
struct Moments {
  double count, mean, squares;

  __device__ double variance() const { return (squares < 0 ? 0 : squares) / count; }  // biased
};

// Two sets of values as one (Chan, Golub and LeVeque 1979).
__device__ inline Moments merge(Moments a, Moments b) {
  const double count = a.count + b.count;
  if (count == 0) return a;
  const double distance = b.mean - a.mean;
  return {count, a.mean + distance * (b.count / count),
          a.squares + b.squares + distance * distance * (a.count * b.count / count)};
}

// What one thread gathers, value by value. Distances are taken from the first value: squares of the
// values themselves would cancel where the mean of a channel is large.
template <class T>
struct Gathered {
  int count = 0;
  T origin = 0;
  double sum = 0, squares = 0;

  __device__ void add(T value) {
    if (count++ == 0) origin = value;
    const double distance = double(value) - origin;
    sum += distance;
    squares += distance * distance;
  }

  __device__ Moments moments() const {
    if (count == 0) return {};
    return {double(count), origin + sum / count, squares - sum * sum / count};
  }
};

// The moments of own_channel(), where there is one, over the rows of this block. The threads of row
// 0 get the right result. `value(row)` is called once for each row.
template <class T, class Value>
__device__ Moments moments_of_rows(int m, int c, Value value) {
  Gathered<T> own;
  if (own_channel() < c)
    for (int row = first_row(); row < m; row += row_step()) own.add(value(row));
  return merge_rows(own.moments());
}

// The moments of a few dozen values in the registers of a warp, in float: a rounded mean, and the
// sums of the distances from it and of their squares.
struct TileMoments {
  float mean, rest, squares;

  __device__ Moments of(int count) const {
    if (count == 0) return {};
    const double shift = double(rest) / count;
    return {double(count), mean + shift, squares - rest * shift};
  }
};

// The sum over the lanes whose numbers differ in the bit `lowest` and in higher ones.
template <int lowest>
__device__ float sum_of_lanes(float x) {
#pragma unroll
  for (int bit = lowest; bit < 32; bit *= 2) x += __shfl_xor_sync(~0u, x, bit);
  return x;
}

// The moments of one column of a warp's tile, over its first `count` rows. Such lanes share a
// column: each has `size` values, value(i) in row(i).
template <int size, int lowest, class Value, class Row>
__device__ TileMoments moments_of_lanes(int count, Value value, Row row) {
  float total = 0;
#pragma unroll
  for (int i = 0; i < size; i++)
    if (row(i) < count) total += value(i);
  const float mean = sum_of_lanes<lowest>(total) / max(count, 1);
  float rest = 0, squares = 0;
#pragma unroll
  for (int i = 0; i < size; i++)
    if (row(i) < count) {
      const float distance = value(i) - mean;
      rest += distance;
      squares += distance * distance;
    }
  return {mean, sum_of_lanes<lowest>(rest), sum_of_lanes<lowest>(squares)};
}

// The rows of a warp's tile, `height` of them from `first` on, that are among the first `rows`.
__device__ inline int rows_among(int rows, int first, int height) {
  return max(0, min(rows - first, height));
}

// Merges the tiles (warps, columns) of a block, in shared memory, each of `height` rows, to the
// moments (channels,) of the block's first `rows` rows. All threads call it.
__device__ inline void merge_tiles(const TileMoments *tiles, int warps, int height, int columns,
                                   int rows, int channels, Moments *result) {
  __syncthreads();
  const int column = threadIdx.x;
  if (column >= columns || column >= channels) return;
  Moments all = {};
  for (int i = 0; i < warps; i++)
    all = merge(all, tiles[i * columns + column].of(rows_among(rows, i * height, height)));
  result[column] = all;
}

#endif  // MINISPIRAL_MOMENTS_CUH
