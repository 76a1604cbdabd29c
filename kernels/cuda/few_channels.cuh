// What the convolutions with few channels have in common: windows counted without divisions, and
// channels of the smaller image read four at a time.

#ifndef MINISPIRAL_FEW_CHANNELS_CUH
#define MINISPIRAL_FEW_CHANNELS_CUH

#include "convolution.cuh"
#include "primitives.cuh"

constexpr int most_terms = 64;  // taps times channels of the larger image

// `count` numbers from an address that is a multiple of `aligned` of them.
template <int count, int aligned>
__device__ void load_vector(float (&values)[count], const float *from) {
  int i = 0;
  if (aligned % 4 == 0)
#pragma unroll
    for (; i + 4 <= count; i += 4) {
      const float4 v = *reinterpret_cast<const float4 *>(from + i);
      values[i] = v.x, values[i + 1] = v.y, values[i + 2] = v.z, values[i + 3] = v.w;
    }
  if (aligned % 2 == 0)
#pragma unroll
    for (; i + 2 <= count; i += 2) {
      const float2 v = *reinterpret_cast<const float2 *>(from + i);
      values[i] = v.x, values[i + 1] = v.y;
    }
#pragma unroll
  for (; i < count; i++) values[i] = from[i];
}

// The channels of the smaller image that a thread has: `count` times four, `distance` apart. Where
// they are `aligned`, there are 4, 8, 12 .. in all, and four are read or written at once.
template <int count, int distance, bool aligned>
struct Channels {
  using Chunk = Channels<1, 0, aligned>;

  int first, all;

  __device__ Chunk chunk(int i) const { return {number(i), all}; }
  __device__ static constexpr int offset(int i) { return i / 4 * distance + i % 4; }
  __device__ int number(int i) const { return first + offset(i); }
  __device__ bool exists(int i) const { return number(i) < all; }

  // From the address of the first; 0 for those that do not exist, and where nothing is `there`.
  __device__ void load(float (&values)[4 * count], const float *__restrict__ from,
                       bool there) const {
#pragma unroll
    for (int i = 0; i < 4 * count; i += 4) {
      if constexpr (aligned) {
        float4 v = make_float4(0, 0, 0, 0);
        if (there && exists(i)) v = *reinterpret_cast<const float4 *>(from + offset(i));
        values[i] = v.x, values[i + 1] = v.y, values[i + 2] = v.z, values[i + 3] = v.w;
      } else {
#pragma unroll
        for (int j = i; j < i + 4; j++) values[j] = there && exists(j) ? from[offset(j)] : 0;
      }
    }
  }

  // Those that exist, to the address of the first.
  __device__ void store(float *to, const float (&values)[4 * count]) const {
#pragma unroll
    for (int i = 0; i < 4 * count; i += 4) {
      if constexpr (aligned) {
        if (exists(i))
          *reinterpret_cast<float4 *>(to + offset(i)) =
              make_float4(values[i], values[i + 1], values[i + 2], values[i + 3]);
      } else {
#pragma unroll
        for (int j = i; j < i + 4; j++)
          if (exists(j)) to[offset(j)] = values[j];
      }
    }
  }
};

// max(x, 0); NaN stays NaN.
__device__ inline float relu(float x) {
#if __CUDA_ARCH__ >= 800
  float y;  // one instruction instead of two
  asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(y) : "f"(x));
  return y;
#else
  return x < 0 ? 0 : x;
#endif
}

// What batch norm and ReLU make of such channels, max(scale * x + shift, 0).
template <int count>
struct Normalization {
  float scale[4 * count], shift[4 * count];

  template <class Channels>
  __device__ Normalization(const float *scales, const float *shifts, const Channels &channels) {
    channels.load(scale, scales + channels.first, true);
    channels.load(shift, shifts + channels.first, true);
  }

  __device__ void operator()(float (&values)[4 * count]) const {
#pragma unroll
    for (int i = 0; i < 4 * count; i++) values[i] = relu(fma(scale[i], values[i], shift[i]));
  }
};

// The same where nothing is to be normalised.
struct NoNormalization {
  template <class Channels>
  __device__ NoNormalization(const float *, const float *, const Channels &) {}

  template <class Values>
  __device__ void operator()(Values &) const {}
};

template <bool condition, class A, class B>
struct Either {
  using Type = A;
};

template <class A, class B>
struct Either<false, A, B> {
  using Type = B;
};

template <int count, bool normalized>
using NormalizationIf = typename Either<normalized, Normalization<count>, NoNormalization>::Type;

// The window of a pixel of the smaller image, 0 outside the larger image. `big` is the number of
// channels under a kernel of 3 x 3, or 0 for any number and any kernel.
template <int big>
struct Window {
  const Convolution &conv;
  int top, left;
  const float *from;

  __device__ Window(const Convolution &conv, const float *x, const Pixel &pixel)
      : conv(conv),
        top(conv.stride * pixel.i - conv.pad),
        left(conv.stride * pixel.j - conv.pad),
        from(x + ((pixel.b * conv.h + top) * conv.w + left) * (big > 0 ? big : conv.big)) {}

  // Calls put(term, number) for each term, with 0 where the window is not `wanted`.
  template <class Put>
  __device__ void gather(bool wanted, Put put) const {
    const auto inside = [&](int p, int q) {
      return wanted && within(top + p, conv.h) && within(left + q, conv.w);
    };
    if constexpr (big > 0) {
#pragma unroll
      for (int p = 0; p < 3; p++) {
        const float *row = from + p * conv.w * big;
#pragma unroll
        for (int q = 0; q < 3; q++)
#pragma unroll
          for (int c = 0; c < big; c++)
            put((p * 3 + q) * big + c, inside(p, q) ? row[q * big + c] : 0);
      }
    } else {
      int term = 0;
      for (int p = 0; p < conv.kh; p++)
        for (int q = 0; q < conv.kw; q++) {
          const float *tap = from + (p * conv.w + q) * conv.big;
          const bool there = inside(p, q);
          for (int c = 0; c < conv.big; c++) put(term++, there ? tap[c] : 0);
        }
    }
  }
};

#endif  // MINISPIRAL_FEW_CHANNELS_CUH
