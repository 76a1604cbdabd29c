// Adam; the formula is in kernels/adam.py. All parameters of a network are updated in one launch: a
// table says where each lies, and which blocks work on it.

// One parameter with its gradient and moments; `size` elements each, from block `first_block` on.
template <class T>
struct Parameter {
  T *p;
  const T *g;
  T *m, *v;
  long long size, first_block;
};

// The two numbers of an update that depend on the count of steps. The bias corrections are moved to
// step size and eps, which saves two divisions an element:
//
//     scales[0] = lr * sqrt(1 - beta2**step) / (1 - beta1**step)
//     scales[1] = eps * sqrt(1 - beta2**step)
//
// `step` and `lr` lie in the GPU's memory, so that a captured graph of a training step stays valid
// as they change. One thread.
__global__ void __launch_bounds__(1)
    adam_scales(const long long *step, const double *lr, double beta1, double beta2, double eps,
                double *scales) {
  const double count = *step;
  const double correction = sqrt(1 - pow(beta2, count));
  scales[0] = *lr * correction / (1 - pow(beta1, count));
  scales[1] = eps * correction;
}

// p, m and v in place; `owner` (gridDim.x,) gives each block its parameter, of which it updates
// `share` elements.
template <class T>
__global__ void __launch_bounds__(256)
    adam(const Parameter<T> *parameters, const int *owner, int share, double beta1, double beta2,
         const double *scales) {
  const Parameter<T> own = parameters[owner[blockIdx.x]];
  const long long start = (blockIdx.x - own.first_block) * share;
  const long long stop = min(start + share, own.size);
  const T keep_m = beta1, take_m = 1 - beta1, keep_v = beta2, take_v = 1 - beta2;
  const T step_size = scales[0], eps = scales[1];
  for (long long i = start + threadIdx.x; i < stop; i += blockDim.x) {
    const T g = own.g[i];
    const T m = keep_m * own.m[i] + take_m * g;
    const T v = keep_v * own.v[i] + take_v * (g * g);
    own.m[i] = m;
    own.v[i] = v;
    own.p[i] -= step_size * (m / (sqrt(v) + eps));
  }
}

// Counts a step of the optimiser. One thread.
__global__ void __launch_bounds__(1) count_step(long long *step) { *step += 1; }
