// Reading an image as max(scale * x + shift, 0) of the image that is in memory, channel by channel;
// see kernels/normalized.py. A warp does it in the registers of a product's factors.
//
// What lies outside of the image is 0 all the same. It is copied from `nowhere`, which is NaN, and of
// NaN and a number max takes the number. NaN in an image shows nevertheless: it makes the moments of
// its channel NaN, so the shift too, and of two NaN max is NaN.

#ifndef MINISPIRAL_NORMALIZED_CUH
#define MINISPIRAL_NORMALIZED_CUH

#include "matrix_product.cuh"

alignas(16) __device__ const unsigned nowhere[4] = {~0u, ~0u, ~0u, ~0u};

// Copies a chunk of an image: what is not valid becomes 0, or NaN where the image is `normalized`.
template <class T, bool normalized>
__device__ void copy_of_image(float *to, const float *from, unsigned valid, int count) {
  if (normalized)
    cp_async16(to, valid ? from : reinterpret_cast<const float *>(nowhere), 1);
  else
    copy_chunk<T>(to, from, valid, count);
}

// The factors of a product as they were read.
struct AsTheyAre {
  __device__ void next_step() {}
  template <int count>
  __device__ void left(int, float (&)[count][4]) const {}
  template <int count>
  __device__ void right(int, float (&)[count][2]) const {}
};

// The left factor normalized, where its terms are channels: taps have whole steps of them.
struct NormalizedTerms : AsTheyAre {
  const float *scale, *shift;
  int channels, channel;
  float own_scale[4], own_shift[4];  // for the terms q, q + 4, q + 8 and q + 12 of a step

  __device__ NormalizedTerms(const float *scale, const float *shift, int channels, int first_term)
      : scale(scale), shift(shift), channels(channels),
        channel(first_term % channels + threadIdx.x % 4) {}

  __device__ void next_step() {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      own_scale[i] = scale[channel + 4 * i];
      own_shift[i] = shift[channel + 4 * i];
    }
    channel += 16;
    if (channel >= channels) channel -= channels;
  }

  template <int count>
  __device__ void left(int k, float (&a)[count][4]) const {
#pragma unroll
    for (int i = 0; i < count; i++)
#pragma unroll
      for (int r = 0; r < 4; r++) {
        const int term = k / 4 + r / 2;
        a[i][r] = fmaxf(fma(own_scale[term], a[i][r], own_shift[term]), 0 * own_shift[term]);
      }
  }
};

// A factor normalized, where its rows (or columns) are channels: channel(i) is that of the i-th row
// of this lane.
template <int size>
struct NormalizedRows : AsTheyAre {
  float scale[size], shift[size], least = 0;

  template <class Channel>
  __device__ NormalizedRows(const float *scales, const float *shifts, Channel channel) {
#pragma unroll
    for (int i = 0; i < size; i++) {
      scale[i] = scales[channel(i)];
      shift[i] = shifts[channel(i)];
      least += 0 * shift[i];
    }
  }

  __device__ float of(float x, int i) const { return fmaxf(fma(scale[i], x, shift[i]), least); }
};

template <int across>
struct NormalizedLeftRows : NormalizedRows<2 * across> {
  using NormalizedRows<2 * across>::NormalizedRows;

  __device__ void left(int, float (&a)[across][4]) const {
#pragma unroll
    for (int i = 0; i < across; i++)
#pragma unroll
      for (int r = 0; r < 4; r++) a[i][r] = this->of(a[i][r], 2 * i + r % 2);
  }
};

template <int along>
struct NormalizedColumns : NormalizedRows<along> {
  using NormalizedRows<along>::NormalizedRows;

  __device__ void right(int, float (&b)[along][2]) const {
#pragma unroll
    for (int j = 0; j < along; j++)
#pragma unroll
      for (int r = 0; r < 2; r++) b[j][r] = this->of(b[j][r], j);
  }
};

#endif  // MINISPIRAL_NORMALIZED_CUH
