// Mean and variance of the channels, gathered in parts and merged.
//
// What is summed are distances from an origin, which is a value of the channel or the mean of some:
// distances and squares of parts that have one origin add up without a division. How far the origin
// is from the mean of all shows among the squares too. So what cancels is at most as many times as
// large as what is left as there are parts, however far from zero the values are: some of a double's
// 16 digits.

#ifndef MINISPIRAL_MOMENTS_CUH
#define MINISPIRAL_MOMENTS_CUH

#include "rows.cuh"

// Number of values, mean, and summed squared distance from the mean.
struct Moments {
  double count, mean, squares;

  __device__ double variance() const { return (squares < 0 ? 0 : squares) / count; }  // biased
};

// Of values as they are seen from an origin: their number, and the sums of their distances from it
// and of the squares of these.
struct Distances {
  double count, sum, squares;

  __device__ Moments from(double origin) const {
    if (count == 0) return {};
    const double shift = sum / count;
    return {count, origin + shift, squares - sum * shift};
  }

  // Seen from another origin, which lies `by` before the first.
  __device__ Distances moved(double by) const {
    const double distance = count == 0 ? 0 : by;  // which may not be a number
    return {count, sum + count * distance, squares + distance * (2 * sum + count * distance)};
  }
};

__device__ inline Distances merge(Distances a, Distances b) {
  return {a.count + b.count, a.sum + b.sum, a.squares + b.squares};
}

// What one thread gathers, value by value. Its origin is the first.
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
};

// The moments of what the threads of a channel have gathered, seen from the origin of row 0, which
// has a value if any has. All threads call it.
template <class T>
__device__ Moments merge_gathered(const Gathered<T> &own) {
  T *origins = dynamic_shared<T>();
  if (threadIdx.y == 0) origins[threadIdx.x] = own.origin;
  __syncthreads();
  const double origin = origins[threadIdx.x];
  __syncthreads();  // the origins are no longer read
  const Distances distances{double(own.count), own.sum, own.squares};
  return merge_rows(distances.moved(own.origin - origin)).from(origin);
}

// The moments of own_channel(), where there is one, over the rows of this block. `value(row)` is
// called once for each row.
template <class T, class Value>
__device__ Moments moments_of_rows(int m, int c, Value value) {
  Gathered<T> own;
  if (own_channel() < c)
    for (int row = first_row(); row < m; row += row_step()) own.add(value(row));
  return merge_gathered(own);
}

// The second of two passes, see rows.cuh: the parts are seen from the mean of the first that has a
// value.
__device__ inline Moments merge_blocks(const Moments *__restrict__ parts, int blocks, int c) {
  const int channel = min(own_channel(), c - 1);
  int first = 0;
  while (first < blocks - 1 && parts[first * c + channel].count == 0) first++;
  const double origin = parts[first * c + channel].mean;
  const Distances all = merge_seen(parts, blocks, c, [&](const Moments &part) {
    return Distances{part.count, 0, part.squares}.moved(part.mean - origin);
  });
  return all.from(origin);
}

// The moments of a few dozen values in the registers of a warp, in float: a rounded mean, and the
// sums of the distances from it and of their squares.
struct TileMoments {
  float mean, rest, squares;

  __device__ Distances seen_from(double origin, int count) const {
    return Distances{double(count), rest, squares}.moved(mean - origin);
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
  const double origin = tiles[column].mean;  // of the first warp, which has a row if any has
  Distances all = {};
  for (int i = 0; i < warps; i++) {
    const int count = rows_among(rows, i * height, height);
    all = merge(all, tiles[i * columns + column].seen_from(origin, count));
  }
  result[column] = all.from(origin);
}

#endif  // MINISPIRAL_MOMENTS_CUH
