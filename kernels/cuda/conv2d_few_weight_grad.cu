// conv2d_weight_grad where the larger image has few channels. kernels/conv2d.py has the formulas and
// the index letters; all numbers are float.

#include "few_channels.cuh"

// How conv2d_weight_grad_few shares its sums among the threads of a block. `big` is the number of
// channels of the larger image under a kernel of 3 x 3, or 0 for any number and any kernel.
template <int big>
struct WeightTile {
  static constexpr int terms = big > 0 ? 9 * big : most_terms;
  static constexpr int columns = 64, step = 256;  // channels and pixels of a block
  // A thread sums `rows` terms by `chunks` times 4 channels over each `lanes`-th pixel.
  static constexpr int chunks = big < 5 ? 1 : 2;
  static constexpr int groups = terms <= 9 ? 1 : terms <= 36 ? 2 : 4;
  static constexpr int rows = groups == 1 ? terms : (terms + 2 * groups - 1) / (2 * groups) * 2;
  static constexpr int across = columns / 4 / chunks, lanes = 256 / across / groups;
  static constexpr int ahead = big == 6 ? 2 : 4;  // pixels
  // Of a window in shared memory: chunks of 16 bytes, an odd number, or banks would conflict.
  static constexpr int pitch = (groups * rows + 3) / 8 * 8 + 4;
  static constexpr int rows_at_once = pitch / 4 / chunks;  // of all threads, in as much memory
};

// parts (gridDim.y, terms, small): windows.T (terms, pixels) gy (pixels, small), each part summed
// over a share of the pixels. A block computes all terms by 64 channels, 256 pixels a step.
template <int big, bool normalized>
__global__ void __launch_bounds__(256, (big > 0 && big + normalized < 4) ? 2 : 1)
    conv2d_weight_grad_few(Convolution conv, const float *__restrict__ x,
                           const float *__restrict__ gy, const float *scale, const float *shift,
                           float *parts) {
  using T = WeightTile<big>;
  float *windows = dynamic_shared<float>();  // (step, pitch)
  const int terms = conv.kh * conv.kw * conv.big, pixels = conv.n * conv.oh * conv.ow;
  const int first_channel = blockIdx.x * T::columns;
  const int share = (pixels + gridDim.y - 1) / gridDim.y;
  const int start = blockIdx.y * share, stop = min(start + share, pixels);

  const int column = threadIdx.x % T::across * 4, group = threadIdx.x / T::across % T::groups;
  const int lane = threadIdx.x / T::across / T::groups;
  const Channels<T::chunks, T::columns / T::chunks, big != 0> channels{first_channel + column,
                                                                       conv.small};
  const NormalizationIf<T::chunks, normalized> normalization(scale, shift, channels);

  // The chunks of gy that come next are on their way while others are computed with.
  float ahead[T::ahead][T::chunks * 4];
  int left = stop - start - lane;  // pixels, up to the next one's row
  const float *row = gy + (start + lane) * conv.small + channels.first;
#pragma unroll
  for (int u = 0; u < T::ahead; u++) {
    channels.load(ahead[u], row, left > 0);
    row += T::lanes * conv.small;
    left -= T::lanes;
  }

  float sum[T::rows][T::chunks * 4] = {};
  Pixel pixel(start + threadIdx.x, conv.oh, conv.ow);
  const Pixel distance(T::step, conv.oh, conv.ow);
  for (int first = start; first < stop; first += T::step) {
    float *to = windows + threadIdx.x * T::pitch;
    const Window<big> window(conv, x, pixel);
    const bool wanted = first + int(threadIdx.x) < stop;
    if constexpr (big > 0) {
      float values[T::pitch] = {};
      window.gather(wanted, [&](int term, float value) { values[term] = value; });
#pragma unroll
      for (int t = 0; t < T::terms; t += 4)
        *reinterpret_cast<float4 *>(to + t) =
            make_float4(values[t], values[t + 1], values[t + 2], values[t + 3]);
    } else {
      window.gather(wanted, [&](int term, float value) { to[term] = value; });
    }
    pixel.advance(distance, conv.oh, conv.ow);
    __syncthreads();
    const float *own = windows + lane * T::pitch + group * T::rows;
#pragma unroll 1
    for (int i = 0; i < T::step; i += T::ahead * T::lanes) {
#pragma unroll
      for (int u = 0; u < T::ahead; u++) {
        float window[T::rows];
        load_vector<T::rows, T::groups == 1 ? 4 : T::rows>(window, own + u * T::lanes * T::pitch);
        normalization(ahead[u]);
#pragma unroll
        for (int r = 0; r < T::rows; r++)
#pragma unroll
          for (int k = 0; k < T::chunks * 4; k++) sum[r][k] += window[r] * ahead[u][k];
        channels.load(ahead[u], row, left > 0);
        row += T::lanes * conv.small;
        left -= T::lanes;
      }
      own += T::ahead * T::lanes * T::pitch;
    }
    __syncthreads();
  }

  float *sums = windows;  // (rows_at_once, lanes, groups, columns)
#pragma unroll
  for (int first = 0; first < T::rows; first += T::rows_at_once) {
#pragma unroll
    for (int r = first; r < min(first + T::rows_at_once, T::rows); r++)
#pragma unroll
      for (int k = 0; k < T::chunks; k++)
        *reinterpret_cast<float4 *>(
            sums + (((r - first) * T::lanes + lane) * T::groups + group) * T::columns + column +
            k * T::columns / T::chunks) = make_float4(sum[r][4 * k], sum[r][4 * k + 1],
                                                      sum[r][4 * k + 2], sum[r][4 * k + 3]);
    __syncthreads();
    constexpr int across = T::groups * T::columns;
#pragma unroll
    for (int i = 0; i < T::rows_at_once * across; i += 256) {
      const int at = i + threadIdx.x;
      const int row = first + at / across;
      const int term = at / T::columns % T::groups * T::rows + row;
      const int channel = first_channel + at % T::columns;
      if (at >= T::rows_at_once * across || row >= T::rows || term >= terms ||
          channel >= conv.small)
        continue;
      float total = 0;
#pragma unroll
      for (int l = 0; l < T::lanes; l++)
        total += sums[(at / across * T::lanes + l) * across + at % across];
      parts[(blockIdx.y * terms + term) * conv.small + channel] = total;
    }
    __syncthreads();
  }
}
